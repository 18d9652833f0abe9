// Package storetest is the contract of bridge.Store as a suite of tests. Every
// store runs it from a test of its own package, and Crash beside it.
package storetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// Open opens the store that dir stands for, a new one if there is none. The
// suite closes it: the store has to be an io.Closer as well. Opening the same
// dir after that gives the same store.
type Open func(t *testing.T, dir string) bridge.Store

// Option changes how the suite runs.
type Option func(*suite)

// Small makes long tests shorter, for a server that goes through everything it has
// in order to find anything.
func Small(s *suite) { s.shorter = 5 }

// Run runs the contract suite.
func Run(t *testing.T, open func(t *testing.T, dir string) bridge.Store, options ...Option) {
	s := suite{open: open, shorter: 1}
	for _, o := range options {
		o(&s)
	}
	t.Run("append", s.testAppend)
	t.Run("expect", s.testExpect)
	t.Run("amend", s.testAmend)
	t.Run("read", s.testRead)
	t.Run("history", s.testHistory)
	t.Run("watch", s.testWatch)
	t.Run("reopen", s.testReopen)
	t.Run("conversations", s.testConversations)
	t.Run("attachments", s.testAttachments)
	t.Run("search", s.testSearch)
	t.Run("model", s.testModel)
}

type suite struct {
	open    Open
	shorter int // by how much long tests are
}

// Scale is by how much tests that repeat themselves do so more often:
// PARLEY_SOAK_SCALE, 1 unless told.
func Scale() int {
	n, err := strconv.Atoi(os.Getenv("PARLEY_SOAK_SCALE"))
	if err != nil {
		return 1
	}
	return max(n, 1)
}

// store opens a new store that is closed when the test ends.
func (s suite) store(t *testing.T) bridge.Store {
	t.Helper()
	st := s.open(t, t.TempDir())
	t.Cleanup(func() { closeStore(t, st) })
	return st
}

func closeStore(t *testing.T, st bridge.Store) {
	t.Helper()
	c, ok := st.(io.Closer)
	if !ok {
		t.Fatalf("%T has no Close", st)
	}
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// testContext ends with the test, or when the test hangs.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

const stream = parley.Stream("ste_a/c/cnv_a/messages")

func streamN(n int) parley.Stream { return parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", n)) }

// text makes a message entry whose digest follows from its text, as it does in
// the bridge.
func text(sender, id, body string) parley.Entry {
	d := parley.NewText(id, body)
	return parley.Entry{
		ID: id, Sender: sender, Device: "dev_1", Role: parley.RoleVisitor,
		Type: d.Type, Body: d.Body, Digest: []byte("digest of " + body),
	}
}

func control(sender, id string, kind parley.EntryType) parley.Entry {
	return parley.Entry{
		ID: id, Sender: sender, Role: parley.RoleSystem, Type: kind,
		Body: []byte(`{"by":"` + sender + `"}`), Digest: []byte(kind),
	}
}

// mustAppend appends without a condition and fails the test when any entry is
// not answered as new.
func mustAppend(t *testing.T, st bridge.Store, s parley.Stream, entries ...parley.Entry) []parley.Entry {
	t.Helper()
	answers, err := st.Append(testContext(t), s, entries, parley.ExpectAny)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	var stored []parley.Entry
	for i, a := range answers {
		if a.Err != nil || a.Duplicate {
			t.Fatalf("entry %d: err %v, duplicate %v; want a new one", i, a.Err, a.Duplicate)
		}
		stored = append(stored, a.Entry)
	}
	return stored
}

func mustRead(t *testing.T, st bridge.Store, s parley.Stream) []parley.Entry {
	t.Helper()
	var all []parley.Entry
	for {
		page, err := st.Read(testContext(t), s, int64(len(all)), 1000)
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

func mustHead(t *testing.T, st bridge.Store, s parley.Stream) parley.Head {
	t.Helper()
	h, err := st.Head(testContext(t), s)
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	return h
}

// checkDense fails the test unless the entries are 1, 2, 3 … with a right count.
func checkDense(t *testing.T, entries []parley.Entry) {
	t.Helper()
	var count int64
	for i, e := range entries {
		if e.Type.Message() {
			count++
		}
		if e.Seq != int64(i+1) || e.Count != count {
			t.Fatalf("entry %d of %s has seq %d and count %d, want %d and %d", i, e.Stream, e.Seq, e.Count, i+1, count)
		}
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func seqs(entries []parley.Entry) []int64 {
	list := []int64{}
	for _, e := range entries {
		list = append(list, e.Seq)
	}
	return list
}
