package storetest

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

func edit(sender, id string, seq int64, text string) parley.Entry {
	return amendment(sender, id, parley.EntryEdit, fmt.Sprintf(`{"seq":%d,"text":"%s"}`, seq, text))
}

func deletion(sender, id string, seq int64) parley.Entry {
	return amendment(sender, id, parley.EntryDelete, fmt.Sprintf(`{"seq":%d}`, seq))
}

func amendment(sender, id string, kind parley.EntryType, body string) parley.Entry {
	return parley.Entry{
		ID: id, Sender: sender, Device: "dev_1", Role: parley.RoleVisitor,
		Type: kind, Body: []byte(body), Digest: []byte(string(kind) + body),
	}
}

func (s suite) testAmend(t *testing.T) {
	t.Run("redacts a deleted message and its edits", s.amendRedacts)
	t.Run("answers repeats of what was deleted", s.amendRepeats)
	t.Run("deletes within one call", s.amendInCall)
	t.Run("deletes messages only", s.amendMessagesOnly)
	t.Run("lets one of racing deletes win", s.amendRace)
}

// amendRedacts deletes one of two messages with edits, and reads the stream in
// every way, at once and after opening it again.
func (s suite) amendRedacts(t *testing.T) {
	dir := t.TempDir()
	st := s.open(t, dir)
	want := mustAppend(t, st, stream,
		control("system", "opened-1", parley.EntryOpened), text("vis_a", "msg_0001", "one"), text("vis_a", "msg_0002", "two"),
		edit("vis_a", "msg_0003", 2, "uno"), edit("vis_a", "msg_0004", 3, "due"))
	want = append(want, mustAppend(t, st, stream, edit("vis_a", "msg_0005", 2, "eins"))...)
	want = append(want, mustAppend(t, st, stream, deletion("agt_a", "msg_0006", 2))...)
	want = append(want, mustAppend(t, st, stream, text("vis_a", "msg_0007", "three"))...)
	for _, seq := range []int{2, 4, 6} {
		want[seq-1] = want[seq-1].Redact()
	}
	check := func(when string) {
		t.Helper()
		equal(t, "read "+when, mustRead(t, st, stream), want)
		before, err := st.ReadBefore(testContext(t), stream, math.MaxInt64, 100)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "read before "+when, before, want)
		for i := range want {
			page, err := st.Read(testContext(t), stream, int64(i), 1)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "page "+when, page, want[i:i+1])
		}
		equal(t, "head "+when, mustHead(t, st, stream), parley.Head{Epoch: st.Epoch(), Seq: 8, Control: 1, Count: 3})
	}
	check("at once")
	since, err := st.EntriesSince(testContext(t), 0, nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "entries by time", since, want)
	check("later")
	closeStore(t, st)
	st = s.open(t, dir)
	defer closeStore(t, st)
	check("again")
}

// amendRepeats sends drafts again whose entries have been redacted, at once and
// after opening the store again.
func (s suite) amendRepeats(t *testing.T) {
	dir := t.TempDir()
	st := s.open(t, dir)
	drafts := []parley.Entry{text("vis_a", "msg_0001", "one"), edit("vis_a", "msg_0002", 1, "uno"), deletion("vis_a", "msg_0003", 1)}
	stored := mustAppend(t, st, stream, drafts...)
	want := []parley.Appended{
		{Entry: stored[0].Redact(), Duplicate: true}, {Entry: stored[1].Redact(), Duplicate: true}, {Entry: stored[2], Duplicate: true},
	}
	for _, opened := range []string{"first", "again"} {
		answers, err := st.Append(testContext(t), stream, drafts, parley.ExpectAny)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "repeats, opened "+opened, answers, want)
		for _, e := range []parley.Entry{
			text("vis_a", "msg_0001", "other"), edit("vis_a", "msg_0002", 1, "other"), // other content
			edit("vis_a", "msg_0004", 1, "late"), deletion("agt_a", "msg_0005", 1), // deleted already
		} {
			answers, err := st.Append(testContext(t), stream, []parley.Entry{e}, parley.ExpectAny)
			if err != nil {
				t.Fatal(err)
			}
			checkConflict(t, answers[0])
		}
		equal(t, "head", mustHead(t, st, stream).Seq, int64(3))
		closeStore(t, st)
		st = s.open(t, dir)
	}
	closeStore(t, st)
}

func (s suite) amendInCall(t *testing.T) {
	st := s.store(t)
	answers, err := st.Append(testContext(t), stream, []parley.Entry{
		text("vis_a", "msg_0001", "one"), edit("vis_a", "msg_0002", 1, "uno"), deletion("vis_a", "msg_0003", 1),
		edit("vis_a", "msg_0004", 1, "eins"), deletion("vis_a", "msg_0005", 1), text("vis_a", "msg_0001", "one"), text("vis_a", "msg_0006", "two"),
	}, parley.ExpectAny)
	if err != nil {
		t.Fatal(err)
	}
	checkConflict(t, answers[3])
	checkConflict(t, answers[4])
	if !answers[5].Duplicate || !answers[5].Entry.Redacted {
		t.Errorf("repeat of the deleted message: %+v", answers[5])
	}
	entries := mustRead(t, st, stream)
	checkDense(t, entries)
	var redacted []bool
	for _, e := range entries {
		redacted = append(redacted, e.Redacted)
	}
	equal(t, "redacted", redacted, []bool{true, true, false, false})
}

// amendMessagesOnly appends deletes of what is no message. Whoever appends is to
// refuse them; the store takes nothing from other entries.
func (s suite) amendMessagesOnly(t *testing.T) {
	st := s.store(t)
	want := mustAppend(t, st, stream,
		control("system", "opened-1", parley.EntryOpened), text("vis_a", "msg_0001", "one"), edit("vis_a", "msg_0002", 2, "uno"),
		deletion("vis_a", "msg_0003", 1), deletion("vis_a", "msg_0004", 3), deletion("vis_a", "msg_0005", 99))
	want = append(want, mustAppend(t, st, streamN(1), text("vis_a", "msg_0001", "one"))...)
	equal(t, "stored", append(mustRead(t, st, stream), mustRead(t, st, streamN(1))...), want)
}

// amendRace lets many delete a message at once while others edit it.
func (s suite) amendRace(t *testing.T) {
	st := s.store(t)
	const messages, racers = 30, 8
	ctx := testContext(t)
	for i := range messages {
		target := mustAppend(t, st, stream, text("vis_a", fmt.Sprintf("msg_t%04d", i), "hello"))[0].Seq
		var wg sync.WaitGroup
		race := func(e parley.Entry) {
			wg.Go(func() {
				answers, err := st.Append(ctx, stream, []parley.Entry{e}, parley.ExpectAny)
				if err != nil {
					t.Errorf("append: %v", err)
				} else if answers[0].Err != nil {
					checkConflict(t, answers[0])
				}
			})
		}
		for n := range racers {
			race(edit("vis_a", fmt.Sprintf("msg_e%04d_%d", i, n), target, "better"))
			race(deletion("agt_a", fmt.Sprintf("msg_d%04d_%d", i, n), target))
		}
		wg.Wait()
		checkDeleted(t, st, target)
	}
}

// checkDeleted fails the test unless exactly one delete of a message is stored,
// and nothing of its text.
func checkDeleted(t *testing.T, st bridge.Store, target int64) {
	t.Helper()
	deletes := 0
	for _, e := range mustRead(t, st, stream)[target-1:] {
		switch {
		case e.Seq == target || e.Type == parley.EntryEdit:
			if !e.Redacted || deletes > 0 && e.Seq != target {
				t.Errorf("%s %d: redacted %v, behind %d deletes", e.Type, e.Seq, e.Redacted, deletes)
			}
		case e.Type == parley.EntryDelete:
			deletes++
		}
	}
	equal(t, "deletes", deletes, 1)
}
