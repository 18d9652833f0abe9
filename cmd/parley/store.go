package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/access"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/broker"
	"github.com/parley-chat/parley/internal/clock"
)

// store is what the server keeps everything in.
type store interface {
	bridge.Store
	access.Store
	broker.Sessions
	Sites(ctx context.Context) ([]parley.Site, error)
	Close() error
}

// defaultFolder is where the embedded store is unless something else is said.
const defaultFolder = "./data"

// location is where a store is: a folder of this machine, or a server.
type location struct {
	folder string // of the embedded store
	uri    string // of a server; there may be a password in it: String has none
}

// location returns where the store is. It reads a file, if the settings name one.
func (c *config) location() (location, error) {
	text, setting := c.Store, "PARLEY_STORE"
	if c.StoreFile != "" {
		if text != "" {
			return location{}, errors.New("PARLEY_STORE and PARLEY_STORE_FILE: give one of them")
		}
		data, err := os.ReadFile(c.StoreFile)
		if err != nil {
			return location{}, fmt.Errorf("PARLEY_STORE_FILE: %w", err)
		}
		text, setting = strings.TrimSpace(string(data)), "PARLEY_STORE_FILE"
		if text == "" {
			return location{}, fmt.Errorf("PARLEY_STORE_FILE: %s is empty", c.StoreFile)
		}
	}
	if text == "" {
		if c.Data == "" {
			return location{folder: defaultFolder}, nil
		}
		return location{folder: c.Data}, nil
	}
	l, err := parseLocation(text)
	if err != nil {
		return location{}, fmt.Errorf("%s: %w", setting, err)
	}
	if c.Data != "" && (l.uri != "" || filepath.Clean(c.Data) != filepath.Clean(l.folder)) {
		return location{}, fmt.Errorf("PARLEY_DATA says that the store is in the folder %s, %s says %s: give one of them", c.Data, setting, l)
	}
	return l, nil
}

// parseLocation reads sqlite:FOLDER or the address of a MongoDB-compatible server.
// Its errors quote nothing of the text, in which there may be a password.
func parseLocation(text string) (location, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	switch scheme {
	case "sqlite":
		if rest == "" || strings.HasPrefix(rest, "//") {
			return location{}, errors.New("name the folder of the embedded store: sqlite:./data or sqlite:/var/lib/parley")
		}
		return location{folder: rest}, nil
	case "mongodb", "mongodb+srv":
		l := location{uri: text}
		if !strings.HasPrefix(rest, "//") || l.host() == "" {
			return location{}, fmt.Errorf("this is not an address like %s://user:password@host/database; in the password, write : / ? # @ as %%3A %%2F %%3F %%23 %%40", scheme)
		}
		return l, nil
	}
	return location{}, errors.New("a store is sqlite:FOLDER, mongodb://… or mongodb+srv://…")
}

// hostPart is what may stand between a password and the options of an address.
var hostPart = regexp.MustCompile(`^[A-Za-z0-9._~:,\[\]%-]+(/[A-Za-z0-9._~%-]*)?$`)

// host returns the hosts and the database of the address, empty where it cannot be
// told for sure what of it is the password.
func (l location) host() string {
	_, rest, _ := strings.Cut(l.uri, "://")
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		if strings.ContainsAny(rest[:i], "/?#@") {
			return ""
		}
		rest = rest[i+1:]
	}
	rest, _, _ = strings.Cut(rest, "?")
	if !hostPart.MatchString(rest) {
		return ""
	}
	return rest
}

// String returns what may be shown of l.
func (l location) String() string {
	if l.uri == "" {
		return "sqlite:" + l.folder
	}
	scheme, _, _ := strings.Cut(l.uri, ":")
	return scheme + "://" + l.host()
}

// LogValue is String.
func (l location) LogValue() slog.Value { return slog.StringValue(l.String()) }

// open opens the store, and returns what /metrics shows of it.
func (l location) open(ctx context.Context, log *slog.Logger) (store, func() []api.Sample, error) {
	if l.uri != "" {
		s, err := mongo.Open(ctx, mongo.Options{URI: l.uri, Logger: log, Now: clock.Now, NoProbe: !probeStore})
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", l, err)
		}
		return s, func() []api.Sample { return mongoSamples(s.Stats()) }, nil
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Dir: l.folder, Logger: log, Now: clock.Now})
	if err != nil {
		return nil, nil, err
	}
	return s, func() []api.Sample { return sqliteSamples(s.Stats()) }, nil
}
