package sqlite_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// flips is how many bits TestFlippedBits turns in each kind of file.
const flips = 30

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
		for range flips {
			copied := t.TempDir()
			must(t, os.CopyFS(copied, os.DirFS(dir)))
			name := filepath.Base(names[rand.IntN(len(names))])
			data, err := os.ReadFile(filepath.Join(copied, name))
			must(t, err)
			bit := rand.IntN(8 * len(bytes.TrimRight(data, "\x00")))
			data[bit/8] ^= 1 << (bit % 8)
			must(t, os.WriteFile(filepath.Join(copied, name), data, 0o600))
			detected, lie := serve(t, copied, truth)
			if detected {
				told++
			}
			if lie != "" {
				t.Errorf("bit %d of %s: %s", bit, name, lie)
			}
		}
		t.Logf("%s: %d bits flipped, %d made the store say so, the others harmed nothing", pattern, flips, told)
	}
}

// serve opens a store and uses it. It returns whether that failed, and what it
// served that is not true.
func serve(t *testing.T, dir string, truth map[parley.Stream][]parley.Entry) (detected bool, lie string) {
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir})
	if err != nil {
		return true, ""
	}
	defer func() { _ = s.Close() }()
	for stream, want := range truth {
		if head, err := s.Head(t.Context(), stream); err != nil {
			return true, ""
		} else if head.Seq != int64(len(want)) || head.Count != want[len(want)-1].Count || head.Control != 71 && len(want) == 80 {
			return false, fmt.Sprintf("head of %s is %+v", stream, head)
		}
		got, err := s.Read(t.Context(), stream, 0, 1000)
		if err != nil {
			return true, ""
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			return false, d
		}
	}
	since, err := s.EntriesSince(t.Context(), 0, nil, 10_000)
	if err != nil {
		return true, ""
	}
	total := 0
	for stream, want := range truth {
		total += len(want)
		for _, e := range want {
			answers, err := s.Append(t.Context(), stream, []parley.Entry{e}, parley.ExpectAny)
			if err != nil {
				return true, ""
			}
			if !answers[0].Duplicate || answers[0].Entry.Seq != e.Seq {
				return false, fmt.Sprintf("repeat of %s %d was answered %+v", stream, e.Seq, answers[0])
			}
		}
	}
	if len(since) != total {
		return false, fmt.Sprintf("%d entries by time, %d are stored", len(since), total)
	}
	return false, ""
}
