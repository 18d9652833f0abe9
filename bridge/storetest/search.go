package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

func (s suite) testSearch(t *testing.T) {
	t.Run("has a position", s.searchPosition)
	t.Run("finds documents", s.searchFind)
	t.Run("finds and pages as a scan does", s.searchScan)
	t.Run("takes the newest text", s.searchAmend)
	t.Run("takes changes of many at once", s.searchChanges)
	t.Run("pages while others write", s.searchWhileWriting)
	t.Run("needs a scope", s.searchErrors)
}

// doc makes a document of a message that is not edited.
func doc(stream parley.Stream, seq, at int64, tokens ...string) bridge.Document {
	return bridge.Document{
		Place: bridge.Place{At: at, Stream: stream, Seq: seq}, Text: seq,
		Visitor: "vis_1", Sender: "vis_1", Tokens: tokens,
	}
}

func saveDocs(t *testing.T, st bridge.Store, position int64, docs ...bridge.Document) {
	t.Helper()
	if err := st.SaveDocuments(testContext(t), docs, position); err != nil {
		t.Fatalf("save documents: %v", err)
	}
}

func findDocs(t *testing.T, st bridge.Store, q bridge.DocumentQuery) []bridge.Found {
	t.Helper()
	found, err := st.FindDocuments(testContext(t), q)
	if err != nil {
		t.Fatalf("find documents: %v", err)
	}
	return found
}

// query looks for messages of the site with all tokens.
func query(tokens ...string) bridge.DocumentQuery {
	return bridge.DocumentQuery{Site: "ste_a", Kinds: []parley.TopicKind{parley.TopicMessages}, Tokens: tokens, Limit: 100}
}

func foundOf(docs ...bridge.Document) []bridge.Found {
	var list []bridge.Found
	for _, d := range docs {
		list = append(list, bridge.Found{Place: d.Place, Text: d.Text})
	}
	return list
}

func (s suite) searchPosition(t *testing.T) {
	dir := t.TempDir()
	st := s.open(t, dir)
	check := func(want int64) {
		t.Helper()
		if got, err := st.IndexedTo(testContext(t)); got != want || err != nil {
			t.Errorf("indexed to %d, %v; want %d", got, err, want)
		}
	}
	check(0)
	saveDocs(t, st, 200)
	check(200)
	d := doc(stream, 1, 150, "hello")
	saveDocs(t, st, 100, d)
	check(100)
	if position, err := st.ProjectedTo(testContext(t)); position != 0 || err != nil {
		t.Errorf("conversations are projected to %d, %v; want 0", position, err)
	}
	closeStore(t, st)
	st = s.open(t, dir)
	defer closeStore(t, st)
	check(100)
	equal(t, "found again", findDocs(t, st, query("hello")), foundOf(d))
}

// searchFind looks for tokens that an index might take for something else.
func (s suite) searchFind(t *testing.T) {
	st := s.store(t)
	words := []string{
		"hello", "hell", "Hello", "HELLO", "你好", "你", "好", "é", "e", "👍", "👍🏽", "c++", "a.b@c.d", `"`, `'`, "*", "hel*", "and", "AND", "NOT", "NEAR", "a b", "a\x00b",
		"-", "(", "{", "^", ":", "terms", "terms:hello", "%", "_", "$ne", "a'b", "ñ", "n\u0303", "١", "1", "long" + string(make([]byte, 300)),
	}
	var docs []bridge.Document
	for i, w := range words {
		docs = append(docs, doc(stream, int64(i+1), int64(1000+i), w, "all"))
	}
	saveDocs(t, st, 1, docs...)
	for i, w := range words {
		equal(t, fmt.Sprintf("found by %q", w), findDocs(t, st, query(w)), foundOf(docs[i]))
		equal(t, fmt.Sprintf("found by %q and what all have", w), findDocs(t, st, query("all", w)), foundOf(docs[i]))
	}
	slices.Reverse(docs)
	equal(t, "found by what all have", findDocs(t, st, query("all")), foundOf(docs...))
	equal(t, "found by two words", findDocs(t, st, query("hello", "你好")), foundOf())
	equal(t, "found by a part", findDocs(t, st, query("al")), foundOf())
}

// searchScan compares with a scan in Go, page by page.
func (s suite) searchScan(t *testing.T) {
	st := s.store(t)
	r := rand.New(rand.NewPCG(7, 7))
	docs := manyDocs(r, 1200/s.shorter)
	for i := 0; i < len(docs); i += 100 {
		saveDocs(t, st, 1, docs[i:min(i+100, len(docs))]...)
	}
	both := []parley.TopicKind{parley.TopicMessages, parley.TopicNotes}
	for n := range 150 / s.shorter {
		q := bridge.DocumentQuery{Site: fmt.Sprintf("ste_%d", r.IntN(3)), Kinds: both[:1+r.IntN(2)], Tokens: []string{fmt.Sprintf("w%d", r.IntN(10))}}
		if r.IntN(4) == 0 {
			q.Kinds = both[1:]
		}
		if r.IntN(2) == 0 {
			q.Tokens = append(q.Tokens, fmt.Sprintf("w%d", r.IntN(10)))
		}
		if r.IntN(3) == 0 {
			q.Conversation = fmt.Sprintf("cnv_%d", r.IntN(8))
		}
		if r.IntN(3) == 0 {
			q.Visitor = fmt.Sprintf("vis_%d", r.IntN(5))
		}
		if r.IntN(3) == 0 {
			q.Sender = fmt.Sprintf("agt_%d", r.IntN(3))
		}
		if r.IntN(3) == 0 {
			q.From = 1000 + r.Int64N(100)
		}
		if r.IntN(3) == 0 {
			q.To = 1000 + r.Int64N(100)
		}
		want := scanDocs(docs, q)
		for _, limit := range []int{1 + r.IntN(5), 7, 1000} {
			q.Limit = limit
			equal(t, fmt.Sprintf("query %d %+v", n, q), pageDocs(t, st, q), want)
		}
	}
}

// manyDocs makes n documents of several sites, kinds, conversations and visitors,
// many of them of one time, in no order.
func manyDocs(r *rand.Rand, n int) []bridge.Document {
	var docs []bridge.Document
	for i := range n {
		site, conversation := fmt.Sprintf("ste_%d", r.IntN(3)), fmt.Sprintf("cnv_%d", r.IntN(8))
		stream := parley.MessagesOf(site, conversation)
		if r.IntN(4) == 0 {
			stream = parley.NotesOf(site, conversation)
		}
		d := doc(stream, int64(1+i), 1000+r.Int64N(100))
		d.Visitor, d.Sender = fmt.Sprintf("vis_%d", r.IntN(5)), fmt.Sprintf("agt_%d", r.IntN(3))
		for range 1 + r.IntN(8) {
			if w := fmt.Sprintf("w%d", r.IntN(10)); !slices.Contains(d.Tokens, w) {
				d.Tokens = append(d.Tokens, w)
			}
		}
		docs = append(docs, d)
	}
	return docs
}

func scanDocs(docs []bridge.Document, q bridge.DocumentQuery) []bridge.Found {
	var list []bridge.Found
	for _, d := range docs {
		site, conversation, kind := d.Stream.About()
		lacks := slices.ContainsFunc(q.Tokens, func(w string) bool { return !slices.Contains(d.Tokens, w) })
		if !lacks && site == q.Site && slices.Contains(q.Kinds, kind) &&
			(q.Conversation == "" || conversation == q.Conversation) &&
			(q.Visitor == "" || d.Visitor == q.Visitor) &&
			(q.Sender == "" || d.Sender == q.Sender) &&
			d.At >= q.From && (q.To == 0 || d.At <= q.To) {
			list = append(list, bridge.Found{Place: d.Place, Text: d.Text})
		}
	}
	slices.SortFunc(list, func(a, b bridge.Found) int { return a.Compare(b.Place) })
	return list
}

func pageDocs(t *testing.T, st bridge.Store, q bridge.DocumentQuery) []bridge.Found {
	t.Helper()
	var all []bridge.Found
	for {
		page := findDocs(t, st, q)
		if len(page) > q.Limit {
			t.Fatalf("page of %d, limit %d", len(page), q.Limit)
		}
		all = append(all, page...)
		if len(page) < q.Limit {
			return all
		}
		q.Before = page[len(page)-1].Place
	}
}

func (s suite) searchAmend(t *testing.T) {
	st := s.store(t)
	check := func(what string, token string, want ...bridge.Document) {
		t.Helper()
		equal(t, what+": "+token, findDocs(t, st, query(token)), foundOf(want...))
	}
	first := doc(stream, 1, 1000, "both", "old")
	other := doc(stream, 2, 1000, "both", "other")
	saveDocs(t, st, 1, first, other)
	saveDocs(t, st, 1, first, other)
	check("saved twice", "both", other, first)

	edited := doc(stream, 1, 1000, "both", "new")
	edited.Text = 3
	saveDocs(t, st, 1, edited)
	check("edited", "both", other, edited)
	check("edited", "new", edited)
	check("edited", "old")
	saveDocs(t, st, 1, first)
	check("what was before the edit comes again", "new", edited)
	check("what was before the edit comes again", "old")
	edited.Text = 4
	saveDocs(t, st, 1, edited)
	check("edited to the same", "new", edited)

	gone := doc(stream, 1, 1000)
	gone.Text = 5
	saveDocs(t, st, 1, gone)
	check("removed", "both", other)
	check("removed", "new")
	saveDocs(t, st, 1, gone, doc(stream, 9, 1000))
	check("removed twice", "both", other)

	late := doc(stream, 3, 900, "both") // older than what is there
	saveDocs(t, st, 1, late)
	check("an old one comes late", "both", other, late)
	saveDocs(t, st, 1, doc(stream, 3, 900))
	check("and goes", "both", other)
}

// searchChanges saves new, changed and removed documents together, and compares
// with a map.
func (s suite) searchChanges(t *testing.T) {
	st := s.store(t)
	r := rand.New(rand.NewPCG(8, 8))
	docs := map[int64]bridge.Document{}
	words := func() (some []string) {
		for i := range 10 {
			if r.IntN(3) == 0 {
				some = append(some, fmt.Sprintf("w%d", i))
			}
		}
		return some
	}
	for round := range 25 {
		var changed []bridge.Document
		for seq, d := range docs {
			if r.IntN(5) == 0 {
				d.Text, d.Tokens = d.Text+1, words()
				if r.IntN(2) == 0 {
					d.Tokens = nil
				}
				changed, docs[seq] = append(changed, d), d
			}
		}
		for range r.IntN(8) {
			seq := int64(len(docs) + 1)
			docs[seq] = doc(stream, seq, 1000+seq, words()...)
			changed = append(changed, docs[seq])
		}
		saveDocs(t, st, int64(round), changed...)
	}
	all := slices.Collect(maps.Values(docs))
	for i := range 10 {
		q := query(fmt.Sprintf("w%d", i))
		q.Limit = 1000
		equal(t, fmt.Sprintf("found by w%d", i), findDocs(t, st, q), scanDocs(all, q))
	}
}

// searchWhileWriting reads page by page while documents are added on top.
func (s suite) searchWhileWriting(t *testing.T) {
	st := s.store(t)
	var want []bridge.Found
	for i := range 50 {
		d := doc(streamN(i%3), int64(1+i), int64(1000+i/5), "word")
		saveDocs(t, st, 1, d)
		want = append(want, bridge.Found{Place: d.Place, Text: d.Text})
	}
	slices.SortFunc(want, func(a, b bridge.Found) int { return a.Compare(b.Place) })
	q := query("word")
	q.Limit = 7
	var got []bridge.Found
	for i := 0; ; i++ {
		page := findDocs(t, st, q)
		got = append(got, page...)
		if len(page) < q.Limit {
			break
		}
		q.Before = page[len(page)-1].Place
		saveDocs(t, st, 1, doc(streamN(0), int64(100+i), int64(1010+i), "word"))
	}
	equal(t, "pages", got, want)
}

func (s suite) searchErrors(t *testing.T) {
	st := s.store(t)
	d := doc(stream, 1, 1000, "hello")
	saveDocs(t, st, 1, d)
	for name, change := range map[string]func(*bridge.DocumentQuery){
		"site":   func(q *bridge.DocumentQuery) { q.Site = "" },
		"kinds":  func(q *bridge.DocumentQuery) { q.Kinds = nil },
		"tokens": func(q *bridge.DocumentQuery) { q.Tokens = nil },
		"limit":  func(q *bridge.DocumentQuery) { q.Limit = 0 },
	} {
		q := query("hello")
		change(&q)
		if found, err := st.FindDocuments(testContext(t), q); err == nil {
			t.Errorf("a query without %s finds %v", name, found)
		}
	}
	for _, stream := range []parley.Stream{"", "ste_a", "ste_a/u/vis_a/events", "/c/cnv_a/messages"} {
		if err := st.SaveDocuments(testContext(t), []bridge.Document{doc(stream, 1, 1000, "hello")}, 1); err == nil {
			t.Errorf("a document of %q is saved", stream)
		}
	}
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if _, err := st.FindDocuments(ctx, query("hello")); !errors.Is(err, context.Canceled) {
		t.Errorf("a search that nobody waits for: %v", err)
	}
}
