package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	databaseFile = "parley.db"
	lockFile     = "parley.lock"
)

// openFolder creates the folder and the database file where they are missing
// and takes the folder's lock, which ends with the process that holds it.
func openFolder(dir string) (*os.File, error) {
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
	if err := createDatabaseFile(dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
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
