package sqlite_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

// flips is how many bits TestFlippedBits turns in each kind of file, times storetest.Scale.
const flips = 12

// TestFlippedBits turns one bit at a time in the files of a store that was
// closed, and of one that was killed. Either somebody says so, or everything
// that was acknowledged is served as it was, and repeats are still repeats.
func TestFlippedBits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	truth := map[parley.Stream][]parley.Entry{}
	fillTruth(t, s, truth, 0, 40)
	must(t, s.Close())
	t.Run("closed", func(t *testing.T) { flipAll(t, dir, truth, "parley.db") })

	s = open(t, dir)
	fillTruth(t, s, truth, 40, 60)
	_, err := s.EntriesSince(t.Context(), 0, nil, 1) // the log holds these
	must(t, err)
	release := s.Hold()
	fillTruth(t, s, truth, 60, 80)
	killed := filepath.Join(t.TempDir(), "data")
	must(t, os.CopyFS(killed, os.DirFS(dir)))
	release()
	must(t, s.Close())
	t.Run("killed", func(t *testing.T) { flipAll(t, killed, truth, "parley.db-wal", "journal-0*") })
}

func fillTruth(t *testing.T, s *sqlite.Store, truth map[parley.Stream][]parley.Entry, from, to int) {
	t.Helper()
	for n := range 6 {
		stream := parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", n))
		for i := from; i < to; i++ {
			e := message(fmt.Sprintf("vis_%d", i%3), fmt.Sprintf("msg_%04d", i), fmt.Sprintf("message %d, about a parcel", i))
			if i%10 == 0 {
				e.Type = parley.EntryAssigned
			}
			answers, err := s.Append(t.Context(), stream, []parley.Entry{e}, parley.ExpectAny)
			must(t, err)
			truth[stream] = append(truth[stream], answers[0].Entry)
		}
	}
}

// flipAll turns bits of the files of dir that match, each in a copy.
func flipAll(t *testing.T, dir string, truth map[parley.Stream][]parley.Entry, patterns ...string) {
	for _, pattern := range patterns {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		must(t, err)
		told := 0
		for range flips * storetest.Scale() {
			copied := t.TempDir()
			must(t, os.CopyFS(copied, os.DirFS(dir)))
			name := filepath.Base(names[rand.IntN(len(names))])
			data, err := os.ReadFile(filepath.Join(copied, name))
			must(t, err)
			bit := rand.IntN(8 * len(bytes.TrimRight(data, "\x00")))
			data[bit/8] ^= 1 << (bit % 8)
			must(t, os.WriteFile(filepath.Join(copied, name), data, 0o600))
			found, lie := serve(t, copied, truth)
			if found != "" {
				told++
			}
			if lie != "" {
				t.Errorf("bit %d of %s: %s", bit, name, lie)
			}
		}
		t.Logf("%s: %d bits flipped, %d made the store say so, the others harmed nothing", pattern, flips*storetest.Scale(), told)
	}
}

// serve opens a store and uses it, then scrubs it. It returns where damage was
// found, and what was served that is not true.
func serve(t *testing.T, dir string, truth map[parley.Stream][]parley.Entry) (found, lie string) {
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir})
	if err != nil {
		return "at the opening", ""
	}
	defer func() { _ = s.Close() }()
	total := 0
	for stream, want := range truth {
		total += len(want)
		if detected, lie := serveStream(t, s, stream, want); detected || lie != "" {
			return "in use", lie
		}
	}
	since, err := s.EntriesSince(t.Context(), 0, nil, 10_000)
	if err != nil {
		return "in use", ""
	}
	if len(since) != total {
		return "", fmt.Sprintf("%d entries by time, %d are stored", len(since), total)
	}
	if s.Scrub(t.Context()) != nil {
		return "by the scrub", ""
	}
	return "", ""
}

func serveStream(t *testing.T, s *sqlite.Store, stream parley.Stream, want []parley.Entry) (detected bool, lie string) {
	last := parley.Head{Epoch: s.Epoch(), Seq: int64(len(want)), Count: want[len(want)-1].Count}
	for _, e := range want {
		if e.Type.Control() {
			last.Control = e.Seq
		}
	}
	if head, err := s.Head(t.Context(), stream); err != nil {
		return true, ""
	} else if head != last {
		return false, fmt.Sprintf("head of %s is %+v", stream, head)
	}
	got, err := s.Read(t.Context(), stream, 0, 1000)
	if err != nil {
		return true, ""
	}
	if !slices.EqualFunc(want, got, sameEntry) {
		return false, cmp.Diff(want, got, cmpopts.EquateEmpty())
	}
	for rest := want; len(rest) > 0; rest = rest[min(len(rest), 50):] {
		answers, err := s.Append(t.Context(), stream, rest[:min(len(rest), 50)], parley.ExpectAny)
		if err != nil {
			return true, ""
		}
		for i, a := range answers {
			if !a.Duplicate || a.Entry.Seq != rest[i].Seq {
				return false, fmt.Sprintf("repeat of %s %d was answered %+v", stream, rest[i].Seq, a)
			}
		}
	}
	return false, ""
}

// sameEntry is what cmp.Diff takes a second for when a body is long.
func sameEntry(a, b parley.Entry) bool {
	if !bytes.Equal(a.Body, b.Body) || !bytes.Equal(a.Digest, b.Digest) {
		return false
	}
	a.Body, a.Digest, b.Body, b.Digest = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}
