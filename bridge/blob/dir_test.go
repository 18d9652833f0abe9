package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/parley-chat/parley"
)

func open(t *testing.T, path string, o Options) *Dir {
	t.Helper()
	d, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func put(t *testing.T, d *Dir, name string, content []byte) {
	t.Helper()
	n, err := d.Put(t.Context(), name, iotest.HalfReader(bytes.NewReader(content)))
	if err != nil || n != int64(len(content)) {
		t.Fatalf("put %d of %d bytes: %v", n, len(content), err)
	}
}

func read(t *testing.T, d *Dir, name string) ([]byte, error) {
	t.Helper()
	r, size, err := d.Open(t.Context(), name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err == nil && int64(len(content)) != size {
		t.Errorf("%d bytes, the size says %d", len(content), size)
	}
	return content, err
}

func content(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// files returns the paths of all files below the folder.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		} else {
			list = append(list, path)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestPutAndOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blobs")
	d := open(t, path, Options{})
	for _, n := range []int{0, 1, 100, blockSize - 1, blockSize, blockSize + 1, 3*blockSize + 7, 2 << 20} {
		want := content(n)
		put(t, d, "ste_a.att_1.file", want)
		d = open(t, path, Options{})
		got, err := read(t, d, "ste_a.att_1.file")
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: got %d, %v", n, len(got), err)
		}
		r, _, err := d.Open(t.Context(), "ste_a.att_1.file")
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(r, want); err != nil { // seeks as well
			t.Errorf("%d bytes: %v", n, err)
		}
		r.Close()
	}
	if got := files(t, path); len(got) != 1 {
		t.Errorf("files: %v", got)
	}
	var names []string
	list := func(until time.Time) []string {
		names = nil
		if err := d.List(t.Context(), until, func(name string) error { names = append(names, name); return nil }); err != nil {
			t.Fatal(err)
		}
		return names
	}
	put(t, d, "ste_a.att_2", nil)
	list(time.Now().Add(time.Second))
	slices.Sort(names)
	if !slices.Equal(names, []string{"ste_a.att_1.file", "ste_a.att_2"}) {
		t.Errorf("listed %v", names)
	}
	if got := list(time.Now().Add(-time.Hour)); len(got) > 0 {
		t.Errorf("listed %v, which are young", got)
	}
	for range 2 {
		for _, name := range []string{"ste_a.att_1.file", "ste_a.att_2"} {
			if err := d.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := read(t, d, "ste_a.att_1.file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("deleted: %v", err)
	}
	if got := files(t, path); len(got) > 0 {
		t.Errorf("left over: %v", got)
	}
}

func TestDeleteAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blobs")
	d := open(t, path, Options{})
	if err := d.DeleteAll(t.Context(), "ste_a.att_1"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ste_a.att_1.file", "ste_a.att_1.part.x", "ste_a.att_1.part.y", "ste_a.att_12.file", "ste_a.att_2.file", "ste_b.att_1.file"} {
		put(t, d, name, []byte("x"))
	}
	for range 2 {
		if err := d.DeleteAll(t.Context(), "ste_a.att_1"); err != nil {
			t.Fatal(err)
		}
	}
	var left []string
	for _, file := range files(t, path) {
		left = append(left, filepath.Base(file))
	}
	slices.Sort(left)
	if !slices.Equal(left, []string{"ste_a.att_12.file", "ste_a.att_2.file", "ste_b.att_1.file"}) {
		t.Errorf("left: %v", left)
	}
	for _, group := range []string{"", "..", "a/b"} {
		if d.DeleteAll(t.Context(), group) == nil {
			t.Errorf("%q is a group", group)
		}
	}
}

func TestNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blobs")
	d := open(t, path, Options{})
	for _, name := range []string{"", ".", "..", "../a", "a/b", `a\b`, "/etc/passwd", ".a", "a.", "a\x00", "a b", "ä", strings.Repeat("a", 201), "a." + strings.Repeat("b", 65)} {
		_, err := d.Put(t.Context(), name, strings.NewReader("x"))
		_, _, openErr := d.Open(t.Context(), name)
		if err == nil || openErr == nil || errors.Is(openErr, fs.ErrNotExist) || d.Delete(t.Context(), name) == nil {
			t.Errorf("%q is taken: %v, %v", name, err, openErr)
		}
	}
	if got := files(t, path); len(got) > 0 {
		t.Errorf("files: %v", got)
	}
}

func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blobs")
	d := open(t, path, Options{})
	want := content(2*blockSize + 100)
	put(t, d, "a", want)
	file := files(t, path)[0]
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, changed []byte) {
		t.Helper()
		if err := os.WriteFile(file, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, d, "a"); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: read %d bytes, %v", what, len(got), err)
		}
	}
	for i := 0; i < len(whole); i += 997 {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1 << (i % 8)
		check("a flipped bit", flipped)
	}
	const block = blockSize + sumSize
	for _, n := range []int{0, 3, block, 2 * block, 2*block + 1, len(whole) - 1} {
		check("an end that is missing", whole[:n])
	}
	check("blocks exchanged", slices.Concat(whole[block:2*block], whole[:block], whole[2*block:]))
	check("an end that is too long", append(bytes.Clone(whole), 0))
	put(t, d, "b", want)
	other, err := d.file("b")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	check("another blob's file", foreign)
}

// What fails leaves what was there before, and nothing else.
func TestPutFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blobs")
	d := open(t, path, Options{})
	put(t, d, "a", []byte("before"))
	broken := errors.New("the connection broke")
	if _, err := d.Put(t.Context(), "a", io.MultiReader(bytes.NewReader(content(100_000)), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Put(ended, "a", strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	d.options.Reserve = 1 << 62
	if _, err := d.Put(t.Context(), "a", strings.NewReader("x")); err == nil || parley.ErrorOf(err).Code != parley.CodeUnavailable {
		t.Errorf("no room: %v", err)
	}
	if got, err := read(t, d, "a"); string(got) != "before" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if got := files(t, path); len(got) != 1 {
		t.Errorf("files: %v", got)
	}
}

func TestSweepAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blobs")
	d := open(t, path, Options{})
	if got := files(t, path); len(got) > 0 {
		t.Errorf("files: %v", got)
	}
	put(t, d, "a", nil)
	if err := d.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old", "young"} {
		if err := os.WriteFile(filepath.Join(path, temporary, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-3 * time.Hour)
	if err := os.Chtimes(filepath.Join(path, temporary, "old"), old, old); err != nil {
		t.Fatal(err)
	}
	open(t, path, Options{})
	if got := files(t, path); len(got) != 1 || filepath.Base(got[0]) != "young" {
		t.Errorf("files: %v", got)
	}
}

// A folder is one store's: another one that swept it would remove all that it does not
// know.
func TestOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "files")
	ours := Options{Owner: "epo_1"}
	d := open(t, path, ours)
	late := open(t, path, Options{Owner: "epo_2"}) // there is nothing yet
	put(t, d, "a.b.c", content(10))
	put(t, open(t, path, ours), "a.b.d", content(10)) // another process of the same store
	if _, err := Open(path, Options{Owner: "epo_2"}); !errors.Is(err, ErrForeign) {
		t.Errorf("another store opens it: %v", err)
	}
	if _, err := late.Put(t.Context(), "a.b.e", strings.NewReader("x")); !errors.Is(err, ErrForeign) {
		t.Errorf("another store puts something there: %v", err)
	}
	var names []string
	err := d.List(t.Context(), time.Now().Add(time.Hour), func(name string) error { names = append(names, name); return nil })
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"a.b.c", "a.b.d"}) {
		t.Errorf("%v, %v", names, err)
	}
}

// TestFormerOwner takes a folder over from the owner that is named, and from no other.
func TestFormerOwner(t *testing.T) {
	path := t.TempDir()
	put(t, open(t, path, Options{Owner: "epo_a"}), "ste_a.att_1.file", content(10))
	if _, err := Open(path, Options{Owner: "epo_c", Former: "epo_b"}); !errors.Is(err, ErrForeign) {
		t.Errorf("another's folder: %v", err)
	}
	former := open(t, path, Options{Owner: "epo_a"})
	b := open(t, path, Options{Owner: "epo_b", Former: "epo_a"})
	for range 2 {
		if err := b.Own(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := read(t, b, "ste_a.att_1.file"); err != nil || !bytes.Equal(got, content(10)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := former.List(t.Context(), time.Now().Add(time.Hour), func(string) error { return nil }); !errors.Is(err, ErrForeign) {
		t.Errorf("the former owner sweeps: %v", err)
	}
}
