package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/backup"
	"github.com/parley-chat/parley/bridge/blob"
	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/bridge/s3"
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
func (c *config) openToBackup(ctx context.Context, l location, probe bool, log *slog.Logger, waits func(error)) (backupSource, error) {
	if l.folder != "" {
		live, err := dialLive(ctx, l.folder)
		if err != nil {
			return nil, err
		}
		if live != nil { // it knows where its files are
			if c.Attachments == "off" {
				live.files = c.Attachments
			}
			return live, nil
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
	files, err := c.blobsToBackup(ctx, l, inner)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	patient := mirror.Patient(inner, mirror.Options{Tell: func(p mirror.Progress) {
		if p.Trouble != nil {
			waits(p.Trouble)
		}
	}})
	return &openedStore{backupStore: inner, patient: patient, files: files, kind: kind, close: s.Close}, nil
}

// openedStore is a store that this process has opened.
type openedStore struct {
	backupStore
	patient bridge.Portable
	files   backup.Blobs // nil leaves them out
	kind    string
	close   func() error
}

// blobsToBackup opens where the files of a store are; nil if it has none, or they are to
// be left out. It fails if they are nowhere.
func (c *config) blobsToBackup(ctx context.Context, l location, s backupStore) (backup.Blobs, error) {
	if c.Attachments == "off" {
		return nil, nil
	}
	where := c.attachmentFolder(l)
	_, err := os.Stat(where)
	if where == "" || !s3.Is(where) && errors.Is(err, fs.ErrNotExist) {
		has, err := hasFiles(ctx, s)
		if err == nil && has {
			err = fmt.Errorf("%s knows of files that people have sent, and they are not in %q: say with --attachments where they are, or --attachments off to leave them out", l, where)
		}
		return nil, err
	}
	b, err := c.openBlobs(where, s.Epoch(), "")
	if err != nil {
		return nil, err
	}
	return b, nil
}

// hasFiles reports whether there are files that were taken.
func hasFiles(ctx context.Context, s bridge.Portable) (bool, error) {
	const page = 500
	for after := ""; ; {
		rows, err := s.Rows(ctx, bridge.RowAttachment, after, page)
		if err != nil || len(rows) == 0 {
			return false, err
		}
		for i := range rows {
			var a parley.Attachment
			if json.Unmarshal(rows[i].Value, &a) == nil && a.Complete() {
				return true, nil
			}
			after = rows[i].Key
		}
	}
}

// damagedBlob reports whether an error of blobs is one of the file, and for good.
func damagedBlob(err error) bool { return errors.Is(err, blob.ErrDamaged) }

func (s *openedStore) write(ctx context.Context, w io.Writer) error {
	_, err := backup.Write(ctx, patientStore{s.patient, s.backupStore}, w, backup.Options{
		Parley: versionText(), Store: s.kind, Now: clock.Now, Blobs: s.files, Damaged: damagedBlob,
	})
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
