package blob

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWritable tries folders, and finds none of its own traces there.
func TestWritable(t *testing.T) {
	above := filepath.Join(t.TempDir(), "above")
	if err := os.Mkdir(above, modeDir); err != nil {
		t.Fatal(err)
	}
	used := filepath.Join(above, "used")
	put(t, open(t, used, Options{}), "a.b.c", content(10))
	before := files(t, above)
	for path, want := range map[string]string{
		used:                             "",
		filepath.Join(above, "new"):      "",
		filepath.Join(above, "new", "x"): "",
		"/sys/parley":                    "/sys/parley cannot be written", // by nobody, not by root either
		"/sys":                           "/sys cannot be written",
	} {
		err := open(t, path, Options{}).Writable()
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if after := files(t, above); len(after) != len(before) {
		t.Errorf("%v are left, of %v", after, before)
	}
	if _, err := os.Stat(filepath.Join(above, "new")); err == nil {
		t.Error("it makes the folder")
	}
}
