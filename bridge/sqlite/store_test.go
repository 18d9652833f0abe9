package sqlite_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) bridge.Store { return open(t, dir) })
}

func TestRest(t *testing.T) {
	storetest.RunRest(t, func(t *testing.T, dir string, now func() time.Time) storetest.Rest { return openAt(t, dir, now) })
}

// open opens a store that the test closes, or does not need closed.
func open(t testing.TB, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// clock is a time that a test sets.
type clock struct{ at atomic.Pointer[time.Time] }

func (c *clock) now() time.Time    { return *c.at.Load() }
func (c *clock) set(now time.Time) { c.at.Store(&now) }

func openAt(t *testing.T, dir string, now func() time.Time) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Now: now})
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustRefuse(t *testing.T, err error, code parley.Code) {
	t.Helper()
	if err == nil || parley.ErrorOf(err).Code != code {
		t.Errorf("error %v, want code %s", err, code)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func message(sender, id, text string) parley.Entry {
	d := parley.NewText(id, text)
	return parley.Entry{
		ID: id, Sender: sender, Device: "dev_a", Role: parley.RoleVisitor,
		Type: d.Type, Body: d.Body, Digest: []byte(text),
	}
}

// checkCount reads a stream through and fails the test unless it holds want
// entries without a hole.
func checkCount(t *testing.T, s *sqlite.Store, stream parley.Stream, want int) {
	t.Helper()
	entries, err := s.Read(t.Context(), stream, 0, want+100)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	for i, e := range entries {
		if e.Seq != int64(i+1) {
			t.Fatalf("entry %d has seq %d", i, e.Seq)
		}
	}
	if len(entries) != want {
		t.Errorf("%d entries stored, want %d", len(entries), want)
	}
}

func waitReady(t *testing.T, s *sqlite.Store) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := s.Ready(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestCrash(t *testing.T) {
	storetest.Crash(t, func(t *testing.T, dir string) bridge.Store { return open(t, dir) })
}

// TestRepeatAfterAWeek sends messages again that were stored seven days ago, to
// the store that ran on and to one that was opened again.
func TestRepeatAfterAWeek(t *testing.T) {
	dir := t.TempDir()
	var later atomic.Int64
	start := func() *sqlite.Store {
		s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
		must(t, err)
		return s
	}
	s := start()
	stream := parley.Stream("ste_a/c/cnv_a/messages")
	entries := make([]parley.Entry, 0, 100)
	for i := range cap(entries) {
		entries = append(entries, message("vis_a", fmt.Sprintf("msg_%04d", i), "hello"))
	}
	first, err := s.Append(t.Context(), stream, entries, parley.ExpectAny)
	must(t, err)
	for i := range first {
		first[i].Duplicate = true
	}
	for _, reopened := range []bool{false, true} {
		if later.Add(int64(7 * 24 * time.Hour)); reopened {
			must(t, s.Close())
			s = start()
		}
		again, err := s.Append(t.Context(), stream, entries, parley.ExpectAny)
		must(t, err)
		equal(t, "repeats", again, first)
		checkCount(t, s, stream, len(entries))
	}
	must(t, s.Close())
}

// Every kind of control entry is found behind a decision, also when only the
// database remembers it.
func TestStaleBehindEveryControlType(t *testing.T) {
	for _, kind := range parley.ControlTypes() {
		dir := t.TempDir()
		s := open(t, dir)
		decided := message("agt_a", "msg_00001", "hello")
		decided.Type = kind
		_, err := s.Append(t.Context(), fsyncStream, []parley.Entry{decided}, parley.ExpectAny)
		must(t, err)
		must(t, s.Close())
		s = open(t, dir)
		answers, err := s.Append(t.Context(), fsyncStream, []parley.Entry{message("vis_a", "msg_00002", "hello")}, 0)
		must(t, err)
		if !errors.Is(answers[0].Err, parley.ErrStale) {
			t.Errorf("behind %s: %+v", kind, answers[0])
		}
		must(t, s.Close())
	}
}
