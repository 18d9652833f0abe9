//go:build unix

package journal

import (
	"errors"
	"fmt"
	"os"
)

// rename gives an open file, which is at path, the name to.
func rename(f *os.File, path, to string) (*os.File, error) { return f, os.Rename(path, to) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := d.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync folder: %w", err), d.Close())
	}
	return d.Close()
}
