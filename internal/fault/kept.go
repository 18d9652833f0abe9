package fault

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// KeptFile is the data folder, packed, that the last Parley of the schema before has left,
// in the source tree.
const KeptFile = "cmd/parley/testdata/kept/sqlite-9.tar.gz.gz"

// unpackKept puts the folder of the schema before into dir, where it is called data.
func (l *Lab) unpackKept(dir string) error {
	data, err := os.ReadFile(l.Kept)
	if err != nil {
		return fmt.Errorf("a data folder of the schema before: %w", err)
	}
	for range 2 {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return fmt.Errorf("unpack %s: %w", l.Kept, err)
		}
		if data, err = io.ReadAll(z); err != nil {
			return fmt.Errorf("unpack %s: %w", l.Kept, err)
		}
	}
	archive := tar.NewReader(bytes.NewReader(data))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", l.Kept, err)
		}
		if !strings.HasPrefix(header.Name, "data/") || header.Typeflag != tar.TypeReg {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(header.Name))
		content, err := io.ReadAll(archive)
		if err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700)); err == nil {
			err = os.WriteFile(path, content, 0o600)
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", l.Kept, err)
		}
	}
}
