package bridge_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/sqlite"
)

func (w *world) history(who parley.Identity, q parley.HistoryQuery) parley.HistoryPage {
	w.Helper()
	page, err := w.bridge.History(w.Context(), who, "c1", q)
	if err != nil {
		w.Fatal(err)
	}
	return page
}

func (w *world) cut(stream parley.Stream, first, want int64) {
	w.Helper()
	got, err := w.bridge.CutHistory(w.Context(), stream, first)
	if err != nil || got != want {
		w.Fatalf("cut at %d: history begins at %d, %v; want %d", first, got, err, want)
	}
}

func seqsOf(entries []parley.Entry) string {
	var seqs []string
	for _, e := range entries {
		seqs = append(seqs, fmt.Sprint(e.Seq))
	}
	return strings.Join(seqs, " ")
}

// TestHistoryPages reads a history of 1 to 20, then one that begins at 8.
func TestHistoryPages(t *testing.T) {
	w := newWorld(t)
	for i := range 19 { // the first one opens the conversation, with an entry of its own
		w.say(ann, "c1", draft(i))
	}
	type pages map[parley.HistoryQuery]string
	from := func(from parley.HistoryFrom, seq int64, limit int) parley.HistoryQuery {
		return parley.HistoryQuery{From: from, Value: seq, Limit: limit}
	}
	newest, after, before, around := parley.HistoryNewest, parley.HistoryAfter, parley.HistoryBefore, parley.HistoryAround
	check := func(first int64, want pages) {
		t.Helper()
		for q, seqs := range want {
			page := w.history(ann, q)
			if got := seqsOf(page.Entries); got != seqs {
				t.Errorf("%+v: got %s, want %s", q, got, seqs)
			}
			if page.Head != 20 || page.First != first {
				t.Errorf("%+v: head %d, first %d", q, page.Head, page.First)
			}
		}
	}
	check(1, pages{
		from(newest, 0, 3): "18 19 20", from(newest, 0, 20): seqsTo(1, 20), from(newest, 0, 200): seqsTo(1, 20),
		from(after, 0, 2): "1 2", from(after, 18, 5): "19 20", from(after, 20, 5): "", from(after, math.MaxInt64, 5): "", from(after, -1, 1): "1",
		from(before, 1, 5): "", from(before, 4, 2): "2 3", from(before, 3, 9): "1 2", from(before, 21, 2): "19 20", from(before, math.MaxInt64, 2): "19 20",
		from(around, 10, 5): "8 9 10 11 12", from(around, 10, 4): "8 9 10 11", from(around, 10, 1): "10",
		from(around, 1, 5): "1 2 3 4 5", from(around, 2, 5): "1 2 3 4 5", from(around, 3, 5): "1 2 3 4 5",
		from(around, 18, 5): "16 17 18 19 20", from(around, 20, 5): "16 17 18 19 20", from(around, math.MaxInt64, 5): "16 17 18 19 20",
		from(around, 10, 200): seqsTo(1, 20), from(around, 0, 2): "1 2",
	})
	w.cut(parley.MessagesOf(site, "c1"), 8, 8)
	cut := pages{
		from(newest, 0, 3): "18 19 20", from(newest, 0, 20): seqsTo(8, 20),
		from(after, 0, 2): "8 9", from(after, 7, 2): "8 9", from(after, 8, 2): "9 10",
		from(before, 8, 5): "", from(before, 3, 5): "", from(before, 10, 5): "8 9",
		from(around, 8, 5): "8 9 10 11 12", from(around, 1, 5): "8 9 10 11 12", from(around, 20, 5): "16 17 18 19 20",
	}
	check(8, cut)
	w.close()
	w.open()
	check(8, cut)
}

func seqsTo(from, to int) string {
	var seqs []string
	for ; from <= to; from++ {
		seqs = append(seqs, fmt.Sprint(from))
	}
	return strings.Join(seqs, " ")
}

func TestHistoryPageOfManyEntries(t *testing.T) {
	w := newWorld(t)
	for i := 0; i < 450; i += 50 {
		drafts := make([]parley.Draft, 50)
		for k := range drafts {
			drafts[k] = draft(i + k)
		}
		w.say(ann, "c1", drafts...)
	}
	for limit, want := range map[int]int{0: 50, 1: 1, 200: 200, 201: 200, 9999: 200} {
		for _, from := range []parley.HistoryFrom{parley.HistoryNewest, parley.HistoryAfter, parley.HistoryAround} {
			page := w.history(ann, parley.HistoryQuery{From: from, Value: 225, Limit: limit})
			if len(page.Entries) != want {
				t.Errorf("%s, limit %d: %d entries, want %d", from, limit, len(page.Entries), want)
			}
		}
	}
}

// TestHistoryByTime writes entries of known times, some of them the same.
func TestHistoryByTime(t *testing.T) {
	w := newWorld(t)
	var now atomic.Int64 // Unix milliseconds; the store looks at it when it likes
	now.Store(time.Now().Truncate(time.Second).UnixMilli())
	w.close()
	w.now = func() time.Time { return time.UnixMilli(now.Load()) }
	w.open()
	times := map[int64]int64{}
	for i := range 40 {
		if i%3 == 0 {
			now.Add(int64(i))
		}
		a := w.say(ann, "c1", draft(i))[0].Entry
		times[a.Seq] = a.At
	}
	all := w.history(ann, parley.HistoryQuery{Limit: 200}).Entries
	check := func(first int64) {
		t.Helper()
		for at := all[0].At - 1; at <= all[len(all)-1].At+1; at++ {
			want := int64(0)
			if i := slices.IndexFunc(all, func(e parley.Entry) bool { return e.At >= at && e.Seq >= first }); i >= 0 {
				want = all[i].Seq
			}
			page := w.history(ann, parley.HistoryQuery{From: parley.HistoryAt, Value: at, Limit: 2})
			got := int64(0)
			if len(page.Entries) > 0 {
				got = page.Entries[0].Seq
			}
			if got != want {
				t.Fatalf("from %d on: %d, want %d", at, got, want)
			}
		}
		for value, want := range map[int64]int64{math.MinInt64: first, 0: first, math.MaxInt64: 0} {
			page := w.history(ann, parley.HistoryQuery{From: parley.HistoryAt, Value: value, Limit: 1})
			if want == 0 && len(page.Entries) > 0 || want > 0 && page.Entries[0].Seq != want {
				t.Errorf("from %d on: %s, want %d", value, seqsOf(page.Entries), want)
			}
		}
	}
	check(1)
	w.cut(parley.MessagesOf(site, "c1"), 17, 17)
	check(17)
}

// countedReads counts what a page costs.
type countedReads struct {
	*sqlite.Store
	reads int
}

func (s *countedReads) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	s.reads++
	return s.Store.Read(ctx, stream, after, limit)
}

func TestHistoryByTimeLooksAtFewEntries(t *testing.T) {
	w := newWorld(t)
	for i := 0; i < 1000; i += 100 {
		drafts := make([]parley.Draft, 100)
		for k := range drafts {
			drafts[k] = draft(i + k)
		}
		w.say(ann, "c1", drafts...)
	}
	at := w.history(ann, parley.HistoryQuery{}).Entries[0].At
	if err := w.bridge.Close(); err != nil {
		t.Fatal(err)
	}
	store := &countedReads{Store: w.store}
	b, err := bridge.New(t.Context(), store, w.options)
	if err != nil {
		t.Fatal(err)
	}
	w.bridge = b
	w.history(ann, parley.HistoryQuery{})
	store.reads = 0
	w.history(ann, parley.HistoryQuery{From: parley.HistoryAt, Value: at})
	if store.reads > 11 { // 2^10 > 1001, and the page
		t.Errorf("a page by time took %d reads", store.reads)
	}
}

// TestHistoryTellsWhatBecameOfMessages opens the middle of a history whose
// messages were edited and deleted far behind.
func TestHistoryTellsWhatBecameOfMessages(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.say(ann, "c1", draft(i))
	}
	edit := func(id string, seq int64, text string) {
		t.Helper()
		w.say(ann, "c1", w.amend(id, parley.EntryEdit, parley.EditBody{Seq: seq, Text: text}))
	}
	edit("msg_e1", 10, "first")                                                         // 42
	edit("msg_e2", 10, "then")                                                          // 43
	edit("msg_e3", 11, "then")                                                          // 44
	edit("msg_e4", 30, "then")                                                          // 45
	w.say(ann, "c1", w.amend("msg_d1", parley.EntryDelete, parley.DeleteBody{Seq: 11})) // 46
	page := w.history(ann, parley.HistoryQuery{From: parley.HistoryAround, Value: 10, Limit: 5})
	if seqsOf(page.Entries) != "8 9 10 11 12" || seqsOf(page.Amendments) != "43 46" {
		t.Fatalf("got %s with %s", seqsOf(page.Entries), seqsOf(page.Amendments))
	}
	if string(page.Amendments[0].Body) != `{"seq":10,"text":"then"}` || !page.Entries[3].Redacted || page.Entries[2].Redacted {
		t.Errorf("got %+v", page)
	}
	if page := w.history(ann, parley.HistoryQuery{From: parley.HistoryAfter, Value: 40, Limit: 5}); seqsOf(page.Amendments) != "" {
		t.Errorf("edits have no edits: %s", seqsOf(page.Amendments))
	}
}

func (w *world) amend(id string, kind parley.EntryType, body any) parley.Draft {
	w.Helper()
	raw, err := parley.EncodeBody(body)
	if err != nil {
		w.Fatal(err)
	}
	return parley.Draft{ID: "amend_" + id, Type: kind, Body: raw}
}

func TestHistoryOfNotes(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	if page := w.history(boss, parley.HistoryQuery{Notes: true}); page.Head != 0 || page.First != 0 || len(page.Entries) > 0 {
		t.Errorf("no notes: %+v", page)
	}
	w.claim(lilei, "c1")
	for i := range 6 {
		if _, err := w.bridge.Note(t.Context(), lilei, "c1", []parley.Draft{draft(i)}); err != nil {
			t.Fatal(err)
		}
	}
	w.cut(parley.NotesOf(site, "c1"), 3, 3)
	page := w.history(lilei, parley.HistoryQuery{Notes: true, From: parley.HistoryAround, Value: 1, Limit: 2})
	if page.Head != 6 || page.First != 3 || seqsOf(page.Entries) != "3 4" || page.Entries[0].Stream != parley.NotesOf(site, "c1") {
		t.Errorf("got %+v", page)
	}
	for who, want := range map[*parley.Identity]parley.Code{&ann: parley.CodeForbidden, &bob: parley.CodeNotFound, &hanmm: parley.CodeNotFound} {
		_, err := w.bridge.History(t.Context(), *who, "c1", parley.HistoryQuery{Notes: true})
		expectCode(t, err, want)
	}
	if page := w.history(ann, parley.HistoryQuery{}); page.First != 1 {
		t.Errorf("cutting the notes has cut the messages at %d", page.First)
	}
}

// TestCutHistory cuts a conversation that is followed, and looks at all that shows
// it: deliveries, states and lists, at once and after a restart.
func TestCutHistory(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		w.say(ann, "c1", draft(i))
	}
	w.claim(lilei, "c1")
	stream := parley.MessagesOf(site, "c1")
	deliveries := func() (texts int) {
		t.Helper()
		got, err := w.bridge.Deliveries(t.Context(), stream, 0, 100)
		if err != nil || len(got) != 12 {
			t.Fatalf("%d deliveries, %v", len(got), err)
		}
		for _, d := range got {
			if strings.Contains(string(d.Payload), "text ") {
				texts++
			}
		}
		return texts
	}
	deliveries() // from now on memory has them
	w.say(ann, "c1", draft(0))
	if n := deliveries(); n != 10 {
		t.Fatalf("%d texts before the cut", n)
	}
	w.cut(stream, 99, 12)
	check := func(when string) {
		t.Helper()
		if n := deliveries(); n != 0 {
			t.Errorf("%s: %d texts are delivered", when, n)
		}
		c, err := w.bridge.Conversation(t.Context(), lilei, "c1")
		if err != nil {
			t.Fatal(err)
		}
		if s := c.State("epo", lilei); s.First != 12 || s.LastText != "" || s.Head != 12 || s.Count != 10 || s.Visitor.Name != "Ann" {
			t.Errorf("%s: state %+v", when, s)
		}
		list, err := w.bridge.Conversations(t.Context(), lilei, parley.ConversationList{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]parley.Conversation{c}, list); d != "" {
			t.Errorf("%s: the list differs:\n%s", when, d)
		}
	}
	check("at once")
	w.cut(stream, 5, 12) // never lower
	check("cut again")
	w.close()
	w.open()
	check("restarted")
	w.say(ann, "c1", draft(50))
	if c, err := w.bridge.Conversation(t.Context(), lilei, "c1"); err != nil || c.First != 12 || c.LastText != "text 50" {
		t.Errorf("written on: %+v, %v", c, err)
	}
	_, err := w.bridge.CutHistory(t.Context(), parley.EventsOf(site, ann.User), 2)
	expectCode(t, err, parley.CodeInvalid)
}

// TestCutWithoutARow starts on a log that was cut, without any projection of it.
func TestCutWithoutARow(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1), draft(2))
	log := w.log("c1")
	w.close()
	w.dir = t.TempDir()
	store, err := sqlite.Open(t.Context(), sqlite.Options{Dir: w.dir})
	if err != nil {
		t.Fatal(err)
	}
	stream := parley.MessagesOf(site, "c1")
	if _, err := store.Append(t.Context(), stream, log, parley.ExpectAny); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Cut(t.Context(), stream, 3); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	w.open()
	if page := w.history(ann, parley.HistoryQuery{}); page.First != 3 || seqsOf(page.Entries) != "3" {
		t.Errorf("got %+v", page)
	}
}
