package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/sqlite"
)

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

// usedStore is a store that more than one process may have open. It tells when a
// server left the last sign of itself.
type usedStore interface {
	LastUsed(ctx context.Context) (time.Time, error)
}

// openToRead opens a store that exists.
func (l location) openToRead(ctx context.Context, probe bool, log *slog.Logger) (wholeStore, error) {
	if l.uri != "" {
		s, err := mongo.Open(ctx, mongo.Options{URI: l.uri, Logger: log, Version: releaseName(), NoProbe: !probe})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	if err := l.exists(); err != nil {
		return nil, err
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Dir: l.folder, Logger: log, Version: releaseName()})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// exists fails if there is no store where an embedded one should be.
func (l location) exists() error {
	if l.uri != "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(l.folder, "parley.db")); err != nil {
		return fmt.Errorf("there is no store in %s: %w", l, err)
	}
	return nil
}

// openToFill opens a new store, or one that was left unfinished.
func (l location) openToFill(ctx context.Context, epoch string, probe bool, log *slog.Logger) (newStore, error) {
	if l.uri != "" {
		s, err := mongo.Fill(ctx, mongo.Options{URI: l.uri, Logger: log, Version: releaseName(), NoProbe: !probe}, epoch)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := sqlite.Fill(ctx, sqlite.Options{Dir: l.folder, Logger: log, Version: releaseName()}, epoch)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openToFillAnew opens a new store, or one that was left unfinished, that is to hold
// what origin holds.
func (l location) openToFillAnew(ctx context.Context, origin string, probe bool, log *slog.Logger) (newStore, error) {
	if l.uri != "" {
		s, err := mongo.FillAnew(ctx, mongo.Options{URI: l.uri, Logger: log, Version: releaseName(), NoProbe: !probe}, origin)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := sqlite.FillAnew(ctx, sqlite.Options{Dir: l.folder, Logger: log, Version: releaseName()}, origin)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// side is which of the two stores it is, and where: errors begin with it.
type side struct {
	name string // --from or --to
	at   location
}

func (s side) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", s.name, s.at, err)
}

// sourceStore is a wholeStore whose errors say which it is.
type sourceStore struct {
	wholeStore
	side   side
	sealed bridge.Portable // the store as it is copied, if that is not as it is
}

// reads is what entries and rows are read from.
func (s sourceStore) reads() bridge.Portable {
	if s.sealed != nil {
		return s.sealed
	}
	return s.wholeStore
}

func (s sourceStore) Streams(ctx context.Context, after parley.Stream, limit int) ([]bridge.StreamState, error) {
	states, err := s.wholeStore.Streams(ctx, after, limit)
	return states, s.side.wrap(err)
}

func (s sourceStore) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	entries, err := s.reads().Read(ctx, stream, after, limit)
	return entries, s.side.wrap(err)
}

func (s sourceStore) Rows(ctx context.Context, kind bridge.RowKind, after string, limit int) ([]bridge.Row, error) {
	rows, err := s.reads().Rows(ctx, kind, after, limit)
	return rows, s.side.wrap(err)
}

func (s sourceStore) Close() error { return s.side.wrap(s.wholeStore.Close()) }

// targetStore is a newStore whose errors say which it is.
type targetStore struct {
	sourceStore
	filled newStore
}

func (s targetStore) PutEntries(ctx context.Context, entries []parley.Entry) error {
	return s.side.wrap(s.filled.PutEntries(ctx, entries))
}

func (s targetStore) PutStreams(ctx context.Context, states []bridge.StreamState) error {
	return s.side.wrap(s.filled.PutStreams(ctx, states))
}

func (s targetStore) PutRows(ctx context.Context, rows []bridge.Row) error {
	return s.side.wrap(s.filled.PutRows(ctx, rows))
}

func (s targetStore) Finish(ctx context.Context) error { return s.side.wrap(s.filled.Finish(ctx)) }
