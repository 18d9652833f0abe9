package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/sqlite/journal"
	"github.com/parley-chat/parley/bridge/storetest"
)

// TestCrashModel appends at random, and crashes the store at random: the folder
// is copied while it stands, as kill -9 leaves it, sometimes with a torn batch
// at the journal's end. Whatever was acknowledged is there when the copy is
// opened, and the store goes on like one that never crashed.
func TestCrashModel(t *testing.T) {
	rounds, crashes := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		rounds++
		dir := filepath.Join(t.TempDir(), "data")
		s := open(t, dir)
		models := map[parley.Stream]*storetest.Model{}
		for n := range 3 {
			models[parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", n))] = &storetest.Model{}
		}
		streams := []parley.Stream{"ste_a/c/cnv_0/messages", "ste_a/c/cnv_1/messages", "ste_a/c/cnv_2/messages"}
		of := func(rt *rapid.T) (parley.Stream, *storetest.Model) {
			stream := rapid.SampledFrom(streams).Draw(rt, "stream")
			return stream, models[stream]
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				stream, m := of(rt)
				storetest.StepAppend(rt, s, m, stream)
			},
			"read": func(rt *rapid.T) {
				stream, m := of(rt)
				storetest.StepRead(rt, s, m, stream)
			},
			"cut": func(rt *rapid.T) {
				stream, m := of(rt)
				if rapid.IntRange(0, 3).Draw(rt, "rarely") > 0 { // it waits for fsyncs
					return
				}
				storetest.StepCut(rt, s, m, stream)
			},
			"apply": func(rt *rapid.T) {
				if _, err := s.EntriesSince(t.Context(), 0, nil, 1); err != nil {
					rt.Fatal(err)
				}
			},
			"close": func(rt *rapid.T) {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				s = open(t, dir)
			},
			"crash": func(rt *rapid.T) {
				crashes++
				dir = crash(rt, t, s, dir)
				s = open(t, dir)
				for stream, m := range models {
					compare(rt, s, stream, m)
				}
			},
		})
		if err := s.Close(); err != nil {
			rt.Fatal(err)
		}
	})
	t.Logf("%d runs, %d crashes", rounds, crashes)
}

// crash copies the folder of s as a crash leaves it, and closes s. Sometimes the
// crash comes in the middle of a batch.
func crash(rt *rapid.T, t *testing.T, s *sqlite.Store, dir string) string {
	release := s.Hold()
	copied := copyFolder(rt, t, dir)
	if rapid.Bool().Draw(rt, "torn") {
		before := validBytes(rt, copied, s.Epoch())
		e := message("vis_t", "msg_torn", "never acknowledged")
		if _, err := s.Append(t.Context(), "ste_a/c/cnv_0/messages", []parley.Entry{e}, parley.ExpectAny); err != nil {
			rt.Fatal(err)
		}
		copied = copyFolder(rt, t, dir)
		whole := validBytes(rt, copied, s.Epoch()) - before
		cut := before + rapid.Int64Range(0, whole-1).Draw(rt, "cut")
		tear(rt, copied, cut, rapid.Bool().Draw(rt, "zeros"))
	}
	release()
	if err := s.Close(); err != nil {
		rt.Fatal(err)
	}
	return copied
}

func copyFolder(rt *rapid.T, t *testing.T, dir string) string {
	copied := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		rt.Fatal(err)
	}
	return copied
}

// validBytes returns how much of the newest segment is valid.
func validBytes(rt *rapid.T, dir, epoch string) int64 {
	found, err := journal.Replay(dir, epoch, 1<<40, func([]byte) error { return nil })
	if err != nil {
		rt.Fatal(err)
	}
	return found.Valid
}

// tear ends the newest segment at cut. Behind it there is nothing, or zeros.
func tear(rt *rapid.T, dir string, cut int64, zeros bool) {
	names, err := filepath.Glob(filepath.Join(dir, "journal-0*"))
	if err != nil || len(names) == 0 {
		rt.Fatalf("journals %v, %v", names, err)
	}
	data, err := os.ReadFile(names[len(names)-1])
	if err != nil {
		rt.Fatal(err)
	}
	if clear(data[cut:]); !zeros {
		data = data[:cut]
	}
	if err := os.WriteFile(names[len(names)-1], data, 0o600); err != nil {
		rt.Fatal(err)
	}
}

func compare(rt *rapid.T, s *sqlite.Store, stream parley.Stream, m *storetest.Model) {
	entries, err := s.Read(rt.Context(), stream, 0, 10_000)
	if err != nil {
		rt.Fatal(err)
	}
	if d := cmp.Diff(m.Entries, entries, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(parley.Entry{}, "At")); d != "" {
		rt.Fatalf("%s after the crash (-acknowledged +stored):\n%s", stream, d)
	}
}
