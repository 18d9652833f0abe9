package storetest

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

func (s suite) testHistory(t *testing.T) {
	t.Run("finds what became of messages", s.historyAmendments)
	t.Run("is cut", s.historyCut)
	t.Run("answers repeats of what was cut", s.historyRepeats)
	t.Run("is never cut lower", s.historyNeverLower)
	t.Run("is cut in long streams", s.historyLong)
	t.Run("is cut while others append", s.historyRace)
	t.Run("is cut in the row of its conversation", s.historyRow)
	t.Run("is cut in the search index", s.historySearch)
}

// amended is a stream with messages 2, 3, 4 and 8, of which 2 was edited twice, 3
// was deleted after an edit and 4 was edited from far away.
func amended(t *testing.T, st bridge.Store) []parley.Entry {
	t.Helper()
	stored := mustAppend(t, st, stream, control("system", "opened-1", parley.EntryOpened),
		text("vis_a", "msg_0001", "one"), text("vis_a", "msg_0002", "two"), text("vis_a", "msg_0003", "three"))
	stored = append(stored, mustAppend(t, st, stream, edit("vis_a", "msg_0004", 2, "uno"), edit("vis_a", "msg_0005", 3, "due"))...)
	stored = append(stored, mustAppend(t, st, stream, deletion("agt_a", "msg_0006", 3), text("vis_a", "msg_0007", "four"),
		edit("vis_a", "msg_0008", 2, "eins"), control("agt_a", "closed-1", parley.EntryClosed), edit("vis_a", "msg_0009", 4, "drei"))...)
	for _, seq := range []int{3, 6} {
		stored[seq-1] = stored[seq-1].Redact()
	}
	return stored
}

func (s suite) historyAmendments(t *testing.T) {
	dir := t.TempDir()
	st := s.open(t, dir)
	amended(t, st)
	for _, opened := range []string{"first", "again"} {
		for _, c := range []struct {
			from, to, head int64
			want           []int64
		}{
			{1, 99, 99, []int64{7, 9, 11}},
			{1, 99, 10, []int64{7, 9}},
			{1, 99, 8, []int64{5, 7}},
			{1, 99, 6, []int64{5}}, // that of a message that was deleted later tells nothing
			{2, 2, 99, []int64{9}},
			{3, 3, 99, []int64{7}},
			{3, 4, 99, []int64{7, 11}},
			{5, 99, 99, nil},
			{1, 1, 99, nil},
			{4, 2, 99, nil},
			{1, 99, 0, nil},
		} {
			got, err := st.Amendments(testContext(t), stream, c.from, c.to, c.head)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, fmt.Sprintf("amendments of %d to %d up to %d, opened %s", c.from, c.to, c.head, opened), seqs(got), append([]int64{}, c.want...))
			all := mustRead(t, st, stream)
			for _, e := range got {
				equal(t, "amendment", e, all[e.Seq-1])
			}
		}
		closeStore(t, st)
		st = s.open(t, dir)
	}
	closeStore(t, st)
}

// mustCut cuts and fails the test unless history begins at want after that.
func mustCut(t *testing.T, st bridge.Store, s parley.Stream, first, want int64) {
	t.Helper()
	got, err := st.Cut(testContext(t), s, first)
	if err != nil {
		t.Fatalf("cut: %v", err)
	}
	equal(t, fmt.Sprintf("where history begins after a cut at %d", first), got, want)
	equal(t, "where the head says that it begins", mustHead(t, st, s).First, want)
}

// historyCut cuts between a message and its edits, and reads the stream in every
// way, at once and after opening it again.
func (s suite) historyCut(t *testing.T) {
	dir := t.TempDir()
	st := s.open(t, dir)
	want := amended(t, st)
	elsewhere := mustAppend(t, st, streamN(1), text("vis_a", "msg_0001", "one"))
	mustCut(t, st, stream, 4, 4)
	for _, seq := range []int{2, 5, 9} { // the message and its edits; 1 holds nothing written, 3 was deleted
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
		equal(t, "another stream "+when, mustRead(t, st, streamN(1)), elsewhere)
		equal(t, "head "+when, mustHead(t, st, stream), parley.Head{Epoch: st.Epoch(), Seq: 11, Control: 10, Count: 4, First: 4})
	}
	check("at once")
	closeStore(t, st)
	st = s.open(t, dir)
	defer closeStore(t, st)
	check("again")
	want = append(want, mustAppend(t, st, stream, text("vis_a", "msg_0010", "five"), control("agt_a", "reopened-1", parley.EntryReopened))...)
	equal(t, "written on", mustRead(t, st, stream), want)
	equal(t, "head, written on", mustHead(t, st, stream), parley.Head{Epoch: st.Epoch(), Seq: 13, Control: 13, Count: 5, First: 4})
}

func (s suite) historyRepeats(t *testing.T) {
	dir := t.TempDir()
	st := s.open(t, dir)
	drafts := []parley.Entry{text("vis_a", "msg_0001", "one"), edit("vis_a", "msg_0002", 1, "uno"), text("vis_a", "msg_0003", "two")}
	stored := mustAppend(t, st, stream, drafts...)
	mustCut(t, st, stream, 3, 3)
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
			text("vis_a", "msg_0001", "other"),                                     // other content
			edit("vis_a", "msg_0004", 1, "late"), deletion("vis_a", "msg_0005", 1), // gone already
		} {
			answers, err := st.Append(testContext(t), stream, []parley.Entry{e}, parley.ExpectAny)
			if err != nil {
				t.Fatal(err)
			}
			checkConflict(t, answers[0])
		}
		closeStore(t, st)
		st = s.open(t, dir)
	}
	closeStore(t, st)
}

func (s suite) historyNeverLower(t *testing.T) {
	st := s.store(t)
	mustCut(t, st, stream, 5, 0) // there is nothing
	for i := range 6 {
		mustAppend(t, st, stream, text("vis_a", fmt.Sprintf("msg_%04d", i), "hello"))
	}
	mustCut(t, st, stream, -1, 0)
	mustCut(t, st, stream, 3, 3)
	mustCut(t, st, stream, 3, 3)
	mustCut(t, st, stream, 2, 3)
	mustCut(t, st, stream, 99, 6)
	mustCut(t, st, stream, math.MaxInt64, 6)
	entries := mustRead(t, st, stream)
	checkDense(t, entries)
	for _, e := range entries {
		if e.Redacted != (e.Seq < 6) {
			t.Errorf("entry %d: redacted %v", e.Seq, e.Redacted)
		}
	}
	if _, err := st.Cut(testContext(t), "", 1); err == nil {
		t.Error("cutting without a stream succeeded")
	}
}

// historyLong cuts more than a store may want to do at once.
func (s suite) historyLong(t *testing.T) {
	st := s.store(t)
	n, first := 2000, int64(1900)
	if s.shorter > 1 {
		n, first = 300, 250
	}
	for i := 0; i < n; i += 100 {
		entries := make([]parley.Entry, 100)
		for k := range entries {
			entries[k] = text("vis_a", fmt.Sprintf("msg_%06d", i+k), "hello")
		}
		mustAppend(t, st, stream, entries...)
	}
	mustCut(t, st, stream, first, first)
	entries := mustRead(t, st, stream)
	checkDense(t, entries)
	for _, e := range entries {
		if e.Redacted != (e.Seq < first) {
			t.Fatalf("entry %d: redacted %v", e.Seq, e.Redacted)
		}
	}
}

func (s suite) historyRace(t *testing.T) {
	st := s.store(t)
	ctx := testContext(t)
	const writers, each = 4, 40
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := st.Append(ctx, stream, []parley.Entry{text(fmt.Sprintf("vis_%d", n), fmt.Sprintf("msg_%04d", i), "hello")}, parley.ExpectAny); err != nil {
					t.Errorf("append: %v", err)
				}
				if i%10 == 9 {
					if _, err := st.Cut(ctx, stream, int64(i*(n+1))); err != nil {
						t.Errorf("cut: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	entries := mustRead(t, st, stream)
	checkDense(t, entries)
	equal(t, "entries", len(entries), writers*each)
	first := mustHead(t, st, stream).First
	for _, e := range entries {
		if e.Redacted != (e.Seq < first) {
			t.Fatalf("history begins at %d, entry %d: redacted %v", first, e.Seq, e.Redacted)
		}
	}
}

// historyRow cuts where the newest message goes although the newest entry stays.
func (s suite) historyRow(t *testing.T) {
	st := s.store(t)
	mustAppend(t, st, stream, text("vis_a", "msg_0001", "one"), text("vis_a", "msg_0002", "two"), control("agt_a", "closed-1", parley.EntryClosed))
	row := parley.Conversation{Site: "ste_a", ID: "cnv_a", Status: parley.StatusClosed, Visitor: "vis_a", Head: 3, Count: 2, LastSeq: 2, LastText: "two"}
	check := func(when string) {
		t.Helper()
		got, err := st.Conversation(testContext(t), "ste_a", "cnv_a")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "row "+when, got, row)
	}
	save := func(c parley.Conversation) {
		t.Helper()
		if err := st.SaveConversations(testContext(t), []parley.Conversation{c}, 1); err != nil {
			t.Fatal(err)
		}
	}
	old := row
	save(old)
	mustCut(t, st, stream, 2, 2)
	row.First = 2
	check("with its newest message")
	mustCut(t, st, stream, 3, 3)
	row.First, row.LastText = 3, ""
	check("without it")
	save(old)
	check("after one from before the cuts")
}

// historySearch looks for what was cut until it is not found any more.
func (s suite) historySearch(t *testing.T) {
	st := s.store(t)
	var docs []bridge.Document
	for i := range 4 {
		e := mustAppend(t, st, stream, text("vis_1", fmt.Sprintf("msg_%04d", i), "hello"))[0]
		docs = append(docs, doc(stream, e.Seq, e.At, "hello"))
	}
	saveDocs(t, st, 1, docs...)
	equal(t, "found", len(findDocs(t, st, query("hello"))), len(docs))
	mustCut(t, st, stream, 4, 4)
	ctx := testContext(t)
	for len(findDocs(t, st, query("hello"))) > 1 {
		select {
		case <-ctx.Done():
			t.Fatal("what was cut is still found")
		case <-time.After(time.Millisecond):
		}
	}
	equal(t, "found after the cut", findDocs(t, st, query("hello")), foundOf(docs[3]))
}

// StepCut cuts the store and the model at a random position, and fails rt where
// they differ.
func StepCut(rt *rapid.T, st bridge.Store, m *Model, name parley.Stream) {
	first := rapid.Int64Range(-1, int64(len(m.Entries))+2).Draw(rt, "first")
	m.cut(first)
	if got, err := st.Cut(context.Background(), name, first); err != nil || got != m.First {
		rt.Fatalf("cut at %d: %d, %v; want %d", first, got, err, m.First)
	}
}

// stepAmendments compares what became of random messages.
func stepAmendments(rt *rapid.T, st bridge.Store, m *Model, name parley.Stream) {
	from := rapid.Int64Range(0, int64(len(m.Entries))+1).Draw(rt, "from")
	to := from + rapid.Int64Range(0, 5).Draw(rt, "more")
	got, err := st.Amendments(context.Background(), name, from, to, math.MaxInt64)
	if err != nil {
		rt.Fatalf("amendments: %v", err)
	}
	want := m.amendments(from, to)
	if d := cmp.Diff(want, got, ignoreTime()); d != "" {
		rt.Fatalf("amendments of %d to %d (-model +store):\n%s", from, to, d)
	}
}

func (m *Model) cut(first int64) {
	first = min(first, int64(len(m.Entries)))
	goes := func(seq int64) bool { return seq >= m.First && seq < first }
	for i, e := range m.Entries {
		of, _ := e.Target()
		if e.Type.Written() && goes(e.Seq) || e.Type == parley.EntryEdit && goes(of) {
			m.Entries[i] = e.Redact()
		}
	}
	if first > 1 {
		m.First = max(m.First, first)
	}
}

// amendments returns the newest edit or delete of each message of a range.
func (m *Model) amendments(from, to int64) []parley.Entry {
	newest := map[int64]int64{}
	for _, e := range m.Entries {
		if of, ok := e.Target(); ok && of >= from && of <= to {
			newest[of] = e.Seq
		}
	}
	var found []parley.Entry
	for _, e := range m.Entries {
		if of, ok := e.Target(); ok && newest[of] == e.Seq {
			found = append(found, e)
		}
	}
	return found
}
