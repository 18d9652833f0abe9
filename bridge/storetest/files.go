package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// FilesWith tells which files of a folder hold one of the texts, and where. Files that are
// deleted meanwhile have none; a folder without any fails the test.
func FilesWith(t testing.TB, folder string, texts ...string) (found []string) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("there is nothing in %s", folder)
	}
	for _, f := range files {
		if f.Type()&fs.ModeSocket != 0 {
			continue // of a server that runs
		}
		data, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if at := bytes.Index(data, []byte(text)); at >= 0 {
				found = append(found, fmt.Sprintf("%s: %s at %d", f.Name(), text, at))
			}
		}
	}
	return found
}
