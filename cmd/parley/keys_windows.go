package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// lockFile makes a file for writing. Here one that was left by a command that was killed
// has to be removed by hand.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: if no other command is writing it, remove it", err)
	}
	return f, err
}

// placeLocked closes a locked file and gives it the name of another, which it takes the
// place of. Where that fails nothing is left of it.
func placeLocked(f *os.File, name string) error {
	err := f.Close()
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// dropLocked closes a locked file and removes it.
func dropLocked(f *os.File) error { return errors.Join(f.Close(), os.Remove(f.Name())) }

// keepOwner does nothing: files have their folder's permissions.
func keepOwner(*os.File, fs.FileInfo) error { return nil }
