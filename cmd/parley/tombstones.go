package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/parley-chat/parley/bridge/backup"
)

// readTombstones reads a file of tombstones; without a name there are none.
func readTombstones(path string) (*backup.Tombstones, error) {
	if path == "" {
		return backup.NewTombstones(), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--tombstones: %w", err)
	}
	defer func() { _ = f.Close() }()
	t, _, err := backup.ReadTombstones(f)
	if err != nil {
		return nil, fmt.Errorf("--tombstones %s: %w", path, err)
	}
	return t, nil
}

// collect adds to the file of tombstones what was deleted since it was done last.
func (b *backupRun) collect(ctx context.Context) (err error) {
	f, known, err := openTombstones(b.tombstones)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	source, at, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	b.screen.begin("looking for what was deleted in " + at.String())
	added := int64(0)
	w := bufio.NewWriter(f)
	lines := json.NewEncoder(w)
	err = source.tombstones(ctx, known.Seen(source.Epoch()), func(t backup.Tombstone) error {
		if !known.Add(t) {
			return nil
		}
		if t.Kind != backup.TombstoneSeen {
			added++
		}
		return lines.Encode(t)
	})
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("add to %s: %w", b.tombstones, err)
	}
	b.screen.done(fmt.Sprintf("%s: %s more, %s in all", b.tombstones, counted(added, "tombstone", "tombstones"), counted(int64(known.Len()), "message", "messages")))
	return nil
}

// openTombstones opens the file to add to it, and makes it if there is none. A line
// that a crash has broken off is cut off.
func openTombstones(path string) (*os.File, *backup.Tombstones, error) {
	_, err := os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("--tombstones: %w", err)
	}
	t, whole, err := backup.ReadTombstones(f)
	if err == nil {
		err = f.Truncate(whole)
	}
	if err == nil {
		_, err = f.Seek(whole, 0)
	}
	if err == nil && fresh {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("--tombstones %s: %w", path, err), f.Close())
	}
	return f, t, nil
}
