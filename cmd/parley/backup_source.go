package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/backup"
	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/internal/clock"
)

// backupStore is an open store of which backups are made.
type backupStore interface {
	backup.Source
	backup.Log
}

// backupSource is where backups come from: a store that this process has opened, or
// one that a server has.
type backupSource interface {
	Epoch() string
	write(ctx context.Context, w io.Writer) error
	tombstones(ctx context.Context, since int64, tell func(backup.Tombstone) error) error
	Close() error
}

// openToBackup opens a store, or connects to the server that has it open. waits is
// told of what makes it wait.
func (l location) openToBackup(ctx context.Context, probe bool, log *slog.Logger, waits func(error)) (backupSource, error) {
	if l.folder != "" {
		live, err := dialLive(ctx, l.folder)
		if err != nil || live != nil {
			return live, err
		}
	}
	s, err := l.openToRead(ctx, probe, log)
	if err != nil {
		return nil, err
	}
	inner, ok := s.(backupStore)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%s: no backup can be made of it", l), s.Close())
	}
	kind := "sqlite"
	if l.uri != "" {
		kind = "mongodb"
	}
	patient := mirror.Patient(inner, mirror.Options{Tell: func(p mirror.Progress) {
		if p.Trouble != nil {
			waits(p.Trouble)
		}
	}})
	return &openedStore{backupStore: inner, patient: patient, kind: kind, close: s.Close}, nil
}

// openedStore is a store that this process has opened.
type openedStore struct {
	backupStore
	patient bridge.Portable
	kind    string
	close   func() error
}

func (s *openedStore) write(ctx context.Context, w io.Writer) error {
	_, err := backup.Write(ctx, patientStore{s.patient, s.backupStore}, w, backup.Options{Parley: versionText(), Store: s.kind, Now: clock.Now})
	return err
}

func (s *openedStore) tombstones(ctx context.Context, since int64, tell func(backup.Tombstone) error) error {
	return backup.Collect(ctx, s.backupStore, since, tell)
}

func (s *openedStore) Close() error { return s.close() }

// patientStore is a store whose lists are tried again while it does not answer.
type patientStore struct {
	bridge.Portable
	rest backupStore
}

func (s patientStore) NewestAt(ctx context.Context) (int64, error) { return s.rest.NewestAt(ctx) }

func (s patientStore) About(ctx context.Context) (streams, entries int64, err error) {
	return s.rest.About(ctx)
}

func (s patientStore) Ready(ctx context.Context) error { return s.rest.Ready(ctx) }
