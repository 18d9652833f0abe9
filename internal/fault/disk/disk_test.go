package disk

import (
	"os"
	"path/filepath"
	"testing"
)

// What is synced stays, whatever the cut does; what is not comes back as a part
// of what was written, or not at all.
func TestCut(t *testing.T) {
	for seed := range uint64(200) {
		d, name := New(), filepath.Join(t.TempDir(), "file")
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		must(t, d.created(f))
		write(t, d, f, "durable", 0)
		must(t, d.sync(f))
		write(t, d, f, "DUR", 0)
		write(t, d, f, " and more", 7)
		must(t, d.resize(f, 10))
		must(t, f.Close())
		lost, err := d.Cut(seed)
		must(t, err)
		got, err := os.ReadFile(name)
		must(t, err)
		if len(got) > 16 || lost > 3 || string(got[3:7]) != "able" && len(got) >= 7 {
			t.Errorf("seed %d: %q is left, %d writes lost", seed, got, lost)
		}
	}
}

// A file that was never synced may be gone, and with it what is in it.
func TestCutNewFile(t *testing.T) {
	gone := 0
	for seed := range uint64(50) {
		d, name := New(), filepath.Join(t.TempDir(), "file")
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		must(t, err)
		must(t, d.created(f))
		must(t, f.Close())
		_, err = d.Cut(seed)
		must(t, err)
		if _, err := os.Stat(name); err != nil {
			gone++
		}
	}
	if gone == 0 || gone == 50 {
		t.Errorf("%d of 50 new files are gone", gone)
	}
}

func write(t *testing.T, d *Disk, f *os.File, text string, at int64) {
	t.Helper()
	_, err := d.write(f, []byte(text), at)
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What a failed fsync was about is lost with the next cut, even if another fsync
// has succeeded since; what was written behind it and synced stays.
func TestFailedSync(t *testing.T) {
	for seed := range uint64(50) {
		d, name := New(), filepath.Join(t.TempDir(), "file")
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		must(t, err)
		write(t, d, f, "durable.", 0)
		must(t, d.sync(f))
		write(t, d, f, "DOOMED", 0)
		d.Fail(true)
		if d.sync(f) == nil || d.syncFolders() == nil {
			t.Fatal("an fsync succeeds on a disk that fails")
		}
		d.Fail(false)
		must(t, d.sync(f))
		write(t, d, f, "later", 8)
		must(t, d.sync(f))
		must(t, f.Close())
		_, err = d.Cut(seed)
		must(t, err)
		if got, err := os.ReadFile(name); err != nil || string(got) != "durable.later" {
			t.Fatalf("seed %d: %q is left, %v", seed, got, err)
		}
	}
}
