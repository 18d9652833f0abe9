package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/parley-chat/parley/bridge/sqlite/journal"
	"github.com/parley-chat/parley/bridge/storetest"
)

const epoch = "epo_test"

func start(t *testing.T, dir string, size int64) *journal.Journal {
	t.Helper()
	found, _ := replay(t, dir, 0)
	j, err := journal.Start(journal.Options{Dir: dir, Epoch: epoch, SegmentSize: size}, found.Position)
	must(t, err)
	return j
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put appends batch n, whose payload is of a length that differs from batch to
// batch, and returns where it ends.
func put(t *testing.T, j *journal.Journal, n int) int64 {
	t.Helper()
	number, err := j.Append(append(make([]byte, journal.Room), payload(n)...))
	must(t, err)
	if number != uint64(n) {
		t.Fatalf("batch %d got number %d", n, number)
	}
	return j.Position().Valid
}

func payload(n int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("batch %d;", n)), 1+n%7*n%11)
}

func replay(t *testing.T, dir string, applied uint64) (journal.Found, []string) {
	t.Helper()
	found, got, err := tryReplay(dir, applied)
	must(t, err)
	return found, got
}

func tryReplay(dir string, applied uint64) (journal.Found, []string, error) {
	var got []string
	found, err := journal.Replay(dir, epoch, applied, func(p []byte) error {
		got = append(got, string(p))
		return nil
	})
	return found, got, err
}

// check fails the test unless batches from to to were replayed.
func check(t *testing.T, got []string, from, to int) {
	t.Helper()
	var want []string
	for n := from; n <= to; n++ {
		want = append(want, string(payload(n)))
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("replayed (-want +got):\n%s", d)
	}
}

func newest(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "journal-0*"))
	must(t, err)
	return names[len(names)-1]
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

func TestReplay(t *testing.T) {
	dir := t.TempDir()
	j := start(t, dir, 4096)
	for n := 1; n <= 500; n++ {
		put(t, j, n)
	}
	if j.Segments() < 5 {
		t.Errorf("%d segments, the test wants several", j.Segments())
	}
	must(t, j.Close())
	found, got := replay(t, dir, 0)
	check(t, got, 1, 500)
	_, got = replay(t, dir, 321)
	check(t, got, 322, 500)

	j, err := journal.Start(journal.Options{Dir: dir, Epoch: epoch}, found.Position)
	must(t, err)
	put(t, j, 501)
	must(t, j.Close())
	_, got = replay(t, dir, 0)
	check(t, got, 1, 501)
	_, err = journal.Replay(dir, "epo_other", 0, func([]byte) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "another store") {
		t.Errorf("replay of another epoch: %v", err)
	}
}

// TestRelease lets go of batches while others are appended. Files are used
// again, and what is in them from their first use is never replayed.
func TestRelease(t *testing.T) {
	dir := t.TempDir()
	j := start(t, dir, 4096)
	for n := 1; n <= 2000; n++ {
		put(t, j, n)
		if n%100 == 0 {
			must(t, j.Release(uint64(n-30)))
			_, got := replay(t, copyDir(t, dir), uint64(n-30))
			check(t, got, n-29, n)
		}
	}
	if j.Segments() > 4 {
		t.Errorf("%d segments are left", j.Segments())
	}
	files, err := os.ReadDir(dir)
	must(t, err)
	if len(files) > 6 {
		t.Errorf("%d files are left", len(files))
	}
	must(t, j.Close())
	_, _, err = tryReplay(dir, 1)
	var damage *journal.Damage
	if !errors.As(err, &damage) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("replay for a database that lacks what was let go: %v", err)
	}
	must(t, journal.Forget(dir, 1<<62))
	if files, _ = os.ReadDir(dir); len(files) > 0 {
		t.Errorf("%d files are left in the end", len(files))
	}
}

// TestTornTail cuts the last batch at every byte, in three ways. What came
// before is always there, the last batch is whole or not there at all, and the
// journal goes on behind.
func TestTornTail(t *testing.T) {
	for _, how := range []string{"truncated", "zeroed", "old bytes"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			j := start(t, dir, 1<<20)
			end := int64(0)
			for n := 1; n <= 20; n++ {
				end = put(t, j, n)
			}
			before := end
			end = put(t, j, 21)
			must(t, j.Close())
			whole, err := os.ReadFile(newest(t, dir))
			must(t, err)
			for cut := before; cut < end; cut++ {
				torn := bytes.Clone(whole)
				switch how {
				case "truncated":
					torn = torn[:cut]
				case "zeroed":
					clear(torn[cut:])
				case "old bytes":
					copy(torn[cut:], whole[1000:1000+end-cut])
				}
				must(t, os.WriteFile(newest(t, dir), torn, 0o600))
				found, got := replay(t, dir, 0)
				check(t, got, 1, 20)
				if found.Valid != before {
					t.Fatalf("cut at %d: valid up to %d, want %d", cut, found.Valid, before)
				}
			}
		})
	}
}

// TestGoesOnBehindTornTail makes sure that a batch that was cut off never comes
// back, whatever is appended later.
func TestGoesOnBehindTornTail(t *testing.T) {
	dir := t.TempDir()
	j := start(t, dir, 1<<20)
	put(t, j, 1)
	end := put(t, j, 2)
	must(t, j.Close())
	must(t, os.Truncate(newest(t, dir), end-1))
	j = start(t, dir, 1<<20)
	put(t, j, 2)
	put(t, j, 3)
	must(t, j.Close())
	_, got := replay(t, dir, 0)
	check(t, got, 1, 3)
}

// TestFlippedBits turns bits all over the files' used parts, one at a time:
// whatever was appended is replayed.
func TestFlippedBits(t *testing.T) {
	const batches = 12
	step := max(37/storetest.Scale(), 1)
	first := rand.IntN(step)
	dir := t.TempDir()
	j := start(t, dir, 700)
	for n := 1; n <= batches; n++ {
		put(t, j, n)
	}
	end := j.Position().Valid
	must(t, j.Close())
	names, err := filepath.Glob(filepath.Join(dir, "journal-0*"))
	must(t, err)
	flips := 0
	for _, name := range names {
		used, err := os.ReadFile(name)
		must(t, err)
		if name == newest(t, dir) {
			used = used[:end]
		} else {
			used = used[:bytes.LastIndexByte(used, ';')+1]
		}
		must(t, os.Truncate(name, int64(len(used))))
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		must(t, err)
		for bit := first; bit < len(used)*8; bit += step {
			at := int64(bit / 8)
			put := func(b byte) {
				_, err := f.WriteAt([]byte{b}, at)
				must(t, err)
			}
			put(used[at] ^ 1<<(bit%8))
			_, got := replay(t, dir, 0)
			check(t, got, 1, batches)
			put(used[at])
			flips++
		}
		must(t, f.Close())
	}
	t.Logf("%d bits flipped in %d files", flips, len(names))
}

// TestDamage overwrites pieces in the middle: that is refused with the place,
// never skipped.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	j := start(t, dir, 4096)
	var last int64
	for n := 1; n <= 200; n++ {
		last = j.Position().Valid
		put(t, j, n)
	}
	must(t, j.Close())
	names, err := filepath.Glob(filepath.Join(dir, "journal-0*"))
	must(t, err)
	for range 100 * storetest.Scale() {
		name := names[rand.IntN(len(names))]
		whole, err := os.ReadFile(name)
		must(t, err)
		end := int64(len(bytes.TrimRight(whole, "\x00")))
		if name == newest(t, dir) {
			end = last
		}
		at := rand.Int64N(end - 3)
		broken := bytes.Clone(whole)
		for i := at; i < at+3; i++ {
			broken[i] ^= byte(1 + rand.IntN(255))
		}
		must(t, os.WriteFile(name, broken, 0o600))
		_, got, err := tryReplay(dir, 0)
		must(t, os.WriteFile(name, whole, 0o600))
		var damage *journal.Damage
		if err == nil && at >= 512 {
			t.Fatalf("damage in %s at %d was not seen, %d batches", name, at, len(got))
		}
		if err == nil { // the unused part of the first block
			check(t, got, 1, 200)
			continue
		}
		if !errors.As(err, &damage) && !strings.Contains(err.Error(), "another store") {
			t.Fatalf("damage in %s at %d: %v", name, at, err)
		}
	}
	must(t, os.Remove(names[2]))
	if _, _, err := tryReplay(dir, 0); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a segment is missing: %v", err)
	}
}

// TestRotate leaves no file that has held an earlier batch once that is let go
// of, whatever was let go of before, meanwhile and after.
func TestRotate(t *testing.T) {
	dir := t.TempDir()
	j := start(t, dir, 4096)
	put(t, j, 1)
	for n := 2; n <= 200; n++ {
		put(t, j, n)
	}
	must(t, j.Release(150)) // some files wait to be used again
	before, err := os.ReadDir(dir)
	must(t, err)
	batch, err := j.Rotate()
	must(t, err)
	if batch != 200 {
		t.Errorf("rotated behind batch %d, want 200", batch)
	}
	put(t, j, 201)
	must(t, j.Release(180))
	must(t, j.Release(200))
	for _, f := range before {
		if _, err := os.Stat(filepath.Join(dir, f.Name())); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", f.Name(), err)
		}
	}
	for n := 202; n <= 300; n++ { // files are used again from now on
		put(t, j, n)
	}
	must(t, j.Release(300))
	must(t, j.Close())
	data, err := os.ReadFile(newest(t, dir))
	must(t, err)
	if bytes.Contains(data, payload(199)) {
		t.Error("the newest file has held an earlier batch")
	}
	_, got := replay(t, dir, 300)
	check(t, got, 1, 0)
}
