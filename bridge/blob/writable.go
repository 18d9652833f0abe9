package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/parley-chat/parley"
)

// Writable fails if blobs cannot be put for a reason that does not go by itself, such as
// the permissions of the folder: not if the disk is full. It leaves nothing behind.
func (d *Dir) Writable() error {
	at := []string{d.path, filepath.Join(d.path, temporary)}
	if _, err := os.Stat(d.path); errors.Is(err, fs.ErrNotExist) {
		at = []string{existing(d.path)} // it is made there
	}
	for _, folder := range at {
		if err := tryFolder(folder); err != nil {
			return fmt.Errorf("%s cannot be written: %w", d.path, err)
		}
	}
	return nil
}

// existing returns the folder above path, or above that and so on, that there is.
func existing(path string) string {
	for {
		above := filepath.Dir(path)
		if _, err := os.Stat(above); !errors.Is(err, fs.ErrNotExist) || above == path {
			return above
		}
		path = above
	}
}

// tryFolder makes a file, and removes it. It is content where there is no folder yet, or
// no room.
func tryFolder(folder string) error {
	f, err := os.CreateTemp(folder, "try-*")
	var full *parley.Error
	if errors.Is(err, fs.ErrNotExist) || errors.As(orFull(err), &full) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), removeIfThere(f.Name()))
}
