package seal_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/parley-chat/parley/bridge/blob"
	"github.com/parley-chat/parley/bridge/seal"
)

// block is how many bytes of a file are sealed together.
const block = 64 << 10

// filing is a sealed store with a folder of files.
type filing struct {
	sealed
	dir  string
	keys seal.Keys
}

func newFiling(t *testing.T) filing {
	t.Helper()
	keys := newKeys(t, false)
	s, err := openAs(t.Context(), t.TempDir(), keys)
	must(t, err)
	t.Cleanup(func() { closing(t, s) })
	return filing{s, t.TempDir(), keys}
}

func (f filing) files(t *testing.T) *seal.Files {
	t.Helper()
	dir, err := blob.Open(f.dir, blob.Options{})
	must(t, err)
	return f.Files(dir)
}

// paths returns the files in the folder, by the ends of their names.
func (f filing) paths(t *testing.T, end string) (paths []string) {
	t.Helper()
	must(t, filepath.WalkDir(f.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasSuffix(path, end) {
			paths = append(paths, path)
		}
		return err
	}))
	return paths
}

func bytesOf(n int) []byte {
	data, random := make([]byte, n), rand.New(rand.NewPCG(1, uint64(n)))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

func put(t *testing.T, f *seal.Files, name string, data []byte) {
	t.Helper()
	n, err := f.Put(t.Context(), name, iotest.HalfReader(bytes.NewReader(data)))
	if err != nil || n != int64(len(data)) {
		t.Fatalf("put %d of %d bytes: %v", n, len(data), err)
	}
}

func readFile(t *testing.T, f *seal.Files, name string) ([]byte, error) {
	t.Helper()
	r, size, err := f.Open(t.Context(), name)
	if err != nil {
		return nil, err
	}
	defer closing(t, r)
	data, err := io.ReadAll(r)
	if err == nil && size != int64(len(data)) {
		t.Errorf("%s has %d bytes, %d are said", name, len(data), size)
	}
	return data, err
}

// TestFilesAreSealed puts files of all sizes around that of a block, and reads ranges.
func TestFilesAreSealed(t *testing.T) {
	s := newFiling(t)
	must(t, s.SealSite(t.Context(), site))
	f := s.files(t)
	for _, size := range []int{0, 1, block - 1, block, block + 1, 3*block - 1, 3 * block, 200_001} {
		want, name := bytesOf(size), site+".att_1.file"
		put(t, f, name, want)
		got, err := readFile(t, f, name)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: got %d, %v", size, len(got), err)
		}
		r, _, err := f.Open(t.Context(), name)
		must(t, err)
		for range 20 {
			at, n := rand.IntN(size+1), rand.IntN(2*block)
			_, err := r.Seek(int64(at), io.SeekStart)
			must(t, err)
			got, err := io.ReadAll(io.LimitReader(r, int64(n)))
			if err != nil || !bytes.Equal(got, want[at:min(at+n, size)]) {
				t.Errorf("%d bytes of %d from %d: got %d, %v", n, size, at, len(got), err)
			}
		}
		must(t, r.Close())
		if size > 100 {
			data, err := os.ReadFile(s.paths(t, ".sealed")[0])
			must(t, err)
			if bytes.Contains(data, want[size-50:]) || bytes.Contains(data, want[:50]) {
				t.Errorf("%d bytes are plain in the folder", size)
			}
		}
	}
	var names []string
	must(t, f.List(t.Context(), time.Now().Add(time.Hour), func(name string) error { names = append(names, name); return nil }))
	equal(t, "names", names, []string{site + ".att_1.file"})
	must(t, f.Delete(t.Context(), site+".att_1.file"))
	if _, err := readFile(t, f, site+".att_1.file"); !errors.Is(err, fs.ErrNotExist) || len(s.paths(t, "")) > 0 {
		t.Errorf("deleted: %v, %v stay", err, s.paths(t, ""))
	}
}

// TestFilesOfBefore reads what was put before a site was sealed, replaces it, and goes on
// after new data keys.
func TestFilesOfBefore(t *testing.T) {
	s := newFiling(t)
	f := s.files(t)
	old, kept := site+".att_1.file", site+".att_2.file"
	put(t, f, old, []byte("before"))
	put(t, f, "ste_b.att_1.file", []byte("of a site that is not sealed"))
	must(t, s.SealSite(t.Context(), site))
	put(t, f, kept, []byte(secret))
	keys, err := s.keys.With(seal.NewMasterKey(time.Now(), true))
	must(t, err)
	must(t, s.Use(keys))
	awaitRotated(t, s.Store)
	for name, want := range map[string]string{old: "before", kept: secret, "ste_b.att_1.file": "of a site that is not sealed"} {
		if got, err := readFile(t, f, name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	put(t, f, old, []byte("after"))
	if got, err := readFile(t, f, old); err != nil || string(got) != "after" {
		t.Errorf("replaced it is %q, %v", got, err)
	}
	if n := len(s.paths(t, "att_1.file")); n != 1 { // that of ste_b
		t.Errorf("%d plain files", n)
	}
}

// TestFilesThatAreDamaged changes what is behind the seal.
func TestFilesThatAreDamaged(t *testing.T) {
	s := newFiling(t)
	must(t, s.SealSite(t.Context(), site))
	behind := &inMemory{blobs: map[string][]byte{}}
	f := s.Files(behind)
	const name = site + ".att_1.file"
	put(t, f, name, bytesOf(3*block))
	put(t, f, site+".att_2.file", bytesOf(3*block))
	right := behind.blobs[name+".sealed"]
	whole := block + seal.BlockOverhead
	swapped := bytes.Clone(right)
	copy(swapped[seal.BlockHeaderSize:], right[seal.BlockHeaderSize+whole:seal.BlockHeaderSize+2*whole])
	flipped, header := bytes.Clone(right), bytes.Clone(right)
	flipped[len(flipped)/2] ^= 1
	header[3] ^= 1
	for what, data := range map[string][]byte{
		"empty": nil, "a header only": right[:seal.BlockHeaderSize], "cut at a block": right[:seal.BlockHeaderSize+2*whole],
		"cut in a block": right[:len(right)-7], "two blocks changed places": swapped, "a bit": flipped, "another data key": header,
		"another file": behind.blobs[site+".att_2.file.sealed"], "plain": bytesOf(len(right)),
	} {
		behind.blobs[name+".sealed"] = data
		if _, err := readFile(t, f, name); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s.Stats().Damaged == 0 {
		t.Error("nothing was counted")
	}
	broken := errors.New("it broke off")
	if _, err := f.Put(t.Context(), site+".att_3.file", io.MultiReader(bytes.NewReader(bytesOf(block)), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("what breaks off: %v", err)
	}
	if _, err := readFile(t, f, site+".att_3.file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what broke off is there: %v", err)
	}
}

// inMemory is blobs whose bytes a test can change.
type inMemory struct {
	seal.Blobs
	blobs map[string][]byte
}

func (m *inMemory) Put(_ context.Context, name string, r io.Reader) (int64, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	m.blobs[name] = data
	return int64(len(data)), nil
}

func (m *inMemory) Open(_ context.Context, name string) (io.ReadSeekCloser, int64, error) {
	data, ok := m.blobs[name]
	if !ok {
		return nil, 0, fs.ErrNotExist
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader(data), io.NopCloser(nil)}, int64(len(data)), nil
}

func (m *inMemory) Delete(_ context.Context, name string) error {
	delete(m.blobs, name)
	return nil
}
