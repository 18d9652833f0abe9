package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/sqlite"
)

func newMigrate() *cobra.Command {
	m := migration{probe: probeStore, from: namedStore{name: "--from", fileName: "--from-file"}, to: namedStore{name: "--to", fileName: "--to-file"}}
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Copy everything from one store into another, and compare them",
		Long: `Copy everything from one store into another, with its numbering, so that devices
go on where they are. Then read both to the end and compare every entry and every
row; only if they are the same can the copy be opened.

Stop the servers of both stores before. What was broken off goes on when it is
started again. Nothing in the store that is copied changes.

A store is sqlite:FOLDER or mongodb://…; everybody on this machine sees a password
given here: use --from-file and --to-file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m.screen, m.log = cmd.OutOrStdout(), slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			return m.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&m.from.text, "from", "", "the store that is copied")
	f.StringVar(&m.from.file, "from-file", "", "a file that holds what --from would say")
	f.StringVar(&m.to.text, "to", "", "the new store")
	f.StringVar(&m.to.file, "to-file", "", "a file that holds what --to would say")
	f.BoolVar(&m.compareOnly, "compare", false, "copy nothing, only compare two stores")
	return cmd
}

// migration is one run of parley migrate.
type migration struct {
	from, to    namedStore
	compareOnly bool
	probe       bool // whether a server is tested before it is trusted

	screen io.Writer
	log    *slog.Logger
	told   time.Time
}

func (m *migration) run(ctx context.Context) error {
	from, to, err := m.locations()
	if err != nil {
		return err
	}
	source, err := from.openToRead(ctx, m.probe, m.log)
	if err != nil {
		return err
	}
	if m.compareOnly {
		var target wholeStore
		if target, err = to.openToRead(ctx, m.probe, m.log); err == nil {
			err = errors.Join(m.compare(ctx, source, target), target.Close())
		}
	} else {
		err = m.copy(ctx, source, to)
	}
	return errors.Join(err, source.Close())
}

// locations names what is wrong with both stores at once.
func (m *migration) locations() (from, to location, err error) {
	for _, part := range []struct {
		namedStore
		found *location
	}{{m.from, &from}, {m.to, &to}} {
		l, bad := part.location()
		if bad == nil && l == (location{}) {
			bad = fmt.Errorf("%s: name a store, sqlite:FOLDER or mongodb://…", part.name)
		}
		*part.found, err = l, errors.Join(err, bad)
	}
	if err == nil && from.same(to) {
		err = errors.New("--from and --to are the same store")
	}
	return from, to, err
}

func (m *migration) copy(ctx context.Context, source bridge.Portable, to location) error {
	target, err := to.openToFill(ctx, source.Epoch(), m.probe, m.log)
	if err != nil {
		return err
	}
	done, err := mirror.Copy(ctx, source, target, mirror.Options{Tell: m.tell("copied")})
	if err == nil {
		m.say("copied", done)
		err = m.compare(ctx, source, target)
	}
	if err == nil {
		err = target.Finish(ctx)
	}
	if err == nil {
		_, err = fmt.Fprintf(m.screen, "done: start the server with PARLEY_STORE=%s\n", to)
	}
	return errors.Join(err, target.Close())
}

func (m *migration) compare(ctx context.Context, source, target bridge.Portable) error {
	done, err := mirror.Compare(ctx, source, target, mirror.Options{Tell: m.tell("compared")})
	if err == nil {
		m.say("the same", done)
	}
	return err
}

// tell shows progress once a second.
func (m *migration) tell(what string) func(mirror.Progress) {
	m.told = time.Now()
	return func(p mirror.Progress) {
		if time.Since(m.told) >= time.Second {
			m.told = time.Now()
			m.say(what, p)
		}
	}
}

func (m *migration) say(what string, p mirror.Progress) {
	_, _ = fmt.Fprintf(m.screen, "%s: %d streams, %d entries, %d rows\n", what, p.Streams, p.Entries, p.Rows) // a screen that is gone stops nothing
}

// wholeStore is a store that is read as a whole.
type wholeStore interface {
	bridge.Portable
	Close() error
}

// newStore is a store that is being filled.
type newStore interface {
	bridge.Fillable
	Close() error
}

// openToRead opens a store that exists.
func (l location) openToRead(ctx context.Context, probe bool, log *slog.Logger) (wholeStore, error) {
	if l.uri != "" {
		s, err := mongo.Open(ctx, mongo.Options{URI: l.uri, Logger: log, NoProbe: !probe})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	if _, err := os.Stat(filepath.Join(l.folder, "parley.db")); err != nil {
		return nil, fmt.Errorf("there is no store in %s: %w", l, err)
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Dir: l.folder, Logger: log})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openToFill opens a new store, or one that was left unfinished.
func (l location) openToFill(ctx context.Context, epoch string, probe bool, log *slog.Logger) (newStore, error) {
	if l.uri != "" {
		s, err := mongo.Fill(ctx, mongo.Options{URI: l.uri, Logger: log, NoProbe: !probe}, epoch)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := sqlite.Fill(ctx, sqlite.Options{Dir: l.folder, Logger: log}, epoch)
	if err != nil {
		return nil, err
	}
	return s, nil
}
