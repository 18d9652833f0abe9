package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/parley-chat/parley/internal/crash"
)

const (
	databaseFile = "parley.db"
	lockFile     = "parley.lock"

	// fillingFile is in the folder of a new store that is to be filled until the
	// store's own mark of that is durable.
	fillingFile = "parley.filling"
)

var errUnfinished = errors.New("this is a copy of another store, or of a backup, that was not finished: run the same parley migrate or parley restore again, or delete the folder")

// ErrInUse is among the reasons why a store is not opened: another process has it open.
var ErrInUse = errors.New("is in use by another Parley process; stop that one, or choose another folder")

// openFolder creates the folder and the database file where they are missing
// and takes the folder's lock, which ends with the process that holds it. A folder
// that is to be filled is marked before anything of a store is in it.
func openFolder(dir string, fills bool) (*os.File, error) {
	if dir == "" {
		return nil, errors.New("open store: no folder given")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the store's folder: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	err = checkMark(dir, fills)
	if err == nil {
		err = createDatabaseFile(dir)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// checkMark marks a folder that is to be filled and has no store. Another one must
// have no mark.
func checkMark(dir string, fills bool) error {
	mark := filepath.Join(dir, fillingFile)
	_, err := os.Lstat(mark)
	switch {
	case err == nil && !fills:
		return fmt.Errorf("open store in %s: %w", dir, errUnfinished)
	case err == nil || !fills && errors.Is(err, fs.ErrNotExist):
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	info, err := os.Stat(filepath.Join(dir, databaseFile))
	if err == nil && info.Size() > 0 { // it says itself what it is
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := createFile(mark); err != nil {
		return err
	}
	crash.At(crash.FillMarked)
	return syncDir(dir)
}

// removeMark is called when the store itself says what it is, durably.
func removeMark(dir string) error {
	err := os.Remove(filepath.Join(dir, fillingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, syncDir(dir))
}

// createDatabaseFile exists for the mode: SQLite gives its other files the mode
// of this one. The folder is synced so that its name survives a power cut.
func createDatabaseFile(dir string) error {
	if err := createFile(filepath.Join(dir, databaseFile)); err != nil {
		return err
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(filepath.Clean(dir))))
}

func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("create the store's file: %w", err)
	}
	return nil
}
