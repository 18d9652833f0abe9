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

// storeFlag is a flag that says where the store is: the first one makes the
// environment not count.
type storeFlag struct {
	config *config
	to     *string
}

// String is empty: the usage shows it, and there may be a password in it.
func (storeFlag) String() string { return "" }

// Type is what the usage calls it.
func (storeFlag) Type() string { return "string" }

// Set takes what the flag says.
func (f storeFlag) Set(text string) error {
	if c := f.config; !c.flagged {
		c.flagged, c.Store, c.StoreFile, c.Data = true, "", "", ""
	}
	*f.to = text
	return nil
}

// namesStore reports whether the settings say where the store is.
func (c *config) namesStore() bool {
	return c.Store != "" || c.StoreFile != "" || c.Data != ""
}

// location returns where the store is. It reads a file, if the settings name one.
func (c *config) location() (location, error) {
	named, data := namedStore{text: c.Store, file: c.StoreFile, name: "PARLEY_STORE", fileName: "PARLEY_STORE_FILE"}, "PARLEY_DATA"
	if c.flagged {
		named.name, data = "--store", "--data"
	}
	l, err := named.location()
	switch {
	case err != nil:
		return location{}, err
	case l == location{} && c.Data == "":
		return location{folder: defaultFolder}, nil
	case l == location{}:
		return location{folder: c.Data}, nil
	case c.Data != "" && !l.same(location{folder: c.Data}):
		return location{}, fmt.Errorf("%s says that the store is in the folder %s, %s says %s: give one of them", data, c.Data, named.given(), l)
	}
	return l, nil
}

// namedStore is a store as somebody names it, here or in a file.
type namedStore struct {
	text, file     string
	name, fileName string // of the settings, for errors
}

// given is the setting that counts.
func (n namedStore) given() string {
	if n.file != "" {
		return n.fileName
	}
	return n.name
}

// location returns the zero one if nothing is named.
func (n namedStore) location() (location, error) {
	if n.file == "" && n.text == "" {
		return location{}, nil
	}
	if n.file != "" && n.text != "" {
		return location{}, fmt.Errorf("%s and %s: give one of them", n.name, n.fileName)
	}
	text := n.text
	if n.file != "" {
		data, err := os.ReadFile(n.file)
		if err != nil {
			return location{}, fmt.Errorf("%s: %w", n.fileName, err)
		}
		if text = strings.TrimSpace(string(data)); text == "" {
			return location{}, fmt.Errorf("%s: %s is empty", n.fileName, n.file)
		}
	}
	l, err := parseLocation(text)
	if err != nil {
		return location{}, fmt.Errorf("%s: %w", n.given(), err)
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

// same reports whether two locations are one store, as far as their names tell.
func (l location) same(o location) bool {
	return l.uri == o.uri && filepath.Clean(l.folder) == filepath.Clean(o.folder)
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

// open opens the store, and returns what /metrics shows of it. probe is whether a
// server is tested before it is trusted.
func (l location) open(ctx context.Context, probe bool, log *slog.Logger) (store, func() []api.Sample, error) {
	if l.uri != "" {
		s, err := mongo.Open(ctx, mongo.Options{URI: l.uri, Logger: log, Now: clock.Now, Version: releaseName(), NoProbe: !probe})
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", l, err)
		}
		return s, func() []api.Sample { return mongoSamples(s.Stats()) }, nil
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Dir: l.folder, Logger: log, Now: clock.Now, Version: releaseName()})
	if err != nil {
		return nil, nil, err
	}
	return s, func() []api.Sample { return sqliteSamples(s.Stats()) }, nil
}
