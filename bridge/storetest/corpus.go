package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/search"
	"github.com/parley-chat/parley/internal/corpus"
)

// SearchCorpus writes support talk into a new store, edits and deletes some, and
// compares what different people find in it with what a scan of all texts finds:
// the same, in the same order, and nothing else. It begins with so many messages
// and 132 queries; with PARLEY_SOAK_SCALE there are up to 20,000 and 506.
func SearchCorpus(t *testing.T, open Open, messages int) {
	messages, queries := min(20_000, messages*Scale()), min(46, 12*Scale()) // of each class
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	st := open(t, t.TempDir())
	defer closeStore(t, st)
	b, err := bridge.New(ctx, st, bridge.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	l := &library{bridge: b, conversations: map[int]parley.Conversation{}, places: map[position]*said{}}
	l.write(t, ctx, st, messages)
	l.settle(t, ctx)
	all := corpus.New(corpusSeed).Queries(queries, messages)
	hits := 0
	for i, q := range all {
		hits += l.compare(t, ctx, i, q)
		if t.Failed() {
			return
		}
	}
	if hits < messages/4 {
		t.Errorf("only %d hits", hits)
	}
	t.Logf("%d messages, %d queries, %d hits", messages, len(all), hits)
}

const corpusSeed = 11

// library is what was written, as a scan sees it.
type library struct {
	bridge        *bridge.Bridge
	conversations map[int]parley.Conversation
	texts         []*said // in the order of results
	places        map[position]*said
}

type position struct {
	stream parley.Stream
	seq    int64
}

// said is a message or a note.
type said struct {
	bridge.Place
	conversation int
	note         bool
	sender       string
	text         string // as it is now; empty if it was deleted
	edited       bool
}

// sites and agents are few, so that everybody has something that others may not
// see.
func (l *library) conversation(n int) parley.Conversation {
	c, known := l.conversations[n]
	if !known {
		c = parley.Conversation{
			Site: fmt.Sprintf("ste_%d", n%7/5), ID: fmt.Sprintf("cnv_%d", n), Status: parley.StatusOpen,
			Visitor: fmt.Sprintf("vis_%d", n%40), Assignee: fmt.Sprintf("agt_%d", n%4), Head: 1,
		}
		switch n % 6 {
		case 4:
			c.Status, c.Assignee = parley.StatusQueued, ""
		case 5:
			c.Status = parley.StatusClosed
		}
		l.conversations[n] = c
	}
	return c
}

// write appends everything, conversations side by side, as quickly as the store
// takes it.
func (l *library) write(t *testing.T, ctx context.Context, st bridge.Store, messages int) {
	t.Helper()
	w := newWriting(l)
	talk := corpus.New(corpusSeed)
	for i := range messages {
		w.say(i, talk.Message(i), talk)
	}
	w.end()
	for _, kind := range []parley.TopicKind{parley.TopicMessages, parley.TopicNotes} { // notes are about what exists
		work := make(chan parley.Stream)
		var writers sync.WaitGroup
		for range 16 {
			writers.Go(func() {
				for stream := range work {
					if err := w.append(ctx, st, stream); err != nil {
						t.Errorf("append to %s: %v", stream, err)
					}
				}
			})
		}
		for _, stream := range w.streams {
			if stream.Kind() == kind {
				work <- stream
			}
		}
		close(work)
		writers.Wait()
	}
	slices.SortFunc(l.texts, func(a, b *said) int { return a.Compare(b.Place) })
	for _, s := range l.texts {
		l.places[position{s.Stream, s.Seq}] = s
	}
}

// settle waits until the index is complete.
func (l *library) settle(t *testing.T, ctx context.Context) {
	t.Helper()
	who := parley.Identity{Site: "ste_0", User: "agt_boss", Device: "dev_a", Role: parley.RoleSupervisor}
	for {
		page, err := l.bridge.Search(ctx, who, parley.SearchRequest{Text: "的", Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if !page.Indexing {
			return
		}
		time.Sleep(20 * time.Millisecond) // asking makes it slower
	}
}

// compare asks one query as somebody, and returns how many hits there are.
func (l *library) compare(t *testing.T, ctx context.Context, i int, q corpus.Query) int {
	t.Helper()
	who := l.reader(i)
	r := l.request(i, who)
	r.Text = q.Text
	want := l.scan(t, who, r)
	got := l.search(t, ctx, who, r)
	for n := range max(len(want), len(got)) {
		if n == len(want) || n == len(got) || want[n] != got[n] {
			t.Errorf("%s, %q, %s %s of %s, %+v: %d by a scan, %d by the search; from %d on (-scan +search):\n%s",
				q.Class, q.Text, who.Role, who.User, who.Site, r, len(want), len(got), n, cmp.Diff(some(want, n), some(got, n)))
			break
		}
	}
	return len(want)
}

// some returns a few of what was found, from the n-th on.
func some(all []found, n int) []found { return all[min(n, len(all)):min(n+3, len(all))] }

func (l *library) reader(i int) parley.Identity {
	who := parley.Identity{Site: fmt.Sprintf("ste_%d", i%2), Device: "dev_a"}
	switch i / 2 % 3 {
	case 0:
		who.Role, who.User = parley.RoleSupervisor, "agt_boss"
	case 1:
		who.Role, who.User = parley.RoleAgent, fmt.Sprintf("agt_%d", i%4)
	case 2:
		who.Role, who.User = parley.RoleVisitor, fmt.Sprintf("vis_%d", i%40)
	}
	return who
}

// request returns what the search is restricted to, mostly nothing.
func (l *library) request(i int, who parley.Identity) parley.SearchRequest {
	r := parley.SearchRequest{Limit: 100}
	switch i / 6 % 10 {
	case 4:
		r.Conversation = "cnv_0"
	case 5:
		r.Sender = fmt.Sprintf("agt_%d", i%4)
	case 6:
		r.From, r.To = l.texts[len(l.texts)*2/3].At, l.texts[len(l.texts)/3].At
	case 7:
		r.Limit = 7
	case 8:
		r.In = parley.TopicMessages
		if who.Role.Staff() {
			r.In = parley.TopicNotes
		}
	case 9:
		r.Visitor, r.Agent = fmt.Sprintf("vis_%d", i%40), fmt.Sprintf("agt_%d", i%4)
	}
	return r
}

// found is a hit as far as a scan can tell it.
type found struct {
	Conversation string
	In           parley.TopicKind
	Seq, At      int64
	Sender       string
	Edited       bool
	Text         string // what the scan knows to be there
}

// scan looks at every text.
func (l *library) scan(t *testing.T, who parley.Identity, r parley.SearchRequest) []found {
	t.Helper()
	q, err := search.Parse(r.Text)
	if err != nil {
		t.Fatalf("%q: %v", r.Text, err)
	}
	var all []found
	for _, s := range l.texts {
		c := l.conversations[s.conversation]
		if s.text == "" || !l.shown(s, c, who) || !wanted(s, c, r) || q.Match(s.text) == nil {
			continue
		}
		f := found{Conversation: c.ID, In: parley.TopicMessages, Seq: s.Seq, At: s.At, Sender: s.sender, Edited: s.edited}
		if s.note {
			f.In = parley.TopicNotes
		}
		f.Text = s.text
		all = append(all, f)
	}
	return all
}

func (l *library) shown(s *said, c parley.Conversation, who parley.Identity) bool {
	if s.note {
		return who.MayIn(parley.ActionNote, c) == nil
	}
	return who.MayIn(parley.ActionRead, c) == nil
}

func wanted(s *said, c parley.Conversation, r parley.SearchRequest) bool {
	return (r.Conversation == "" || r.Conversation == c.ID) &&
		(r.Sender == "" || r.Sender == s.sender) &&
		(r.Visitor == "" || r.Visitor == c.Visitor) &&
		(r.Agent == "" || r.Agent == c.Assignee) &&
		(r.From == 0 || s.At >= r.From) && (r.To == 0 || s.At <= r.To) &&
		(r.In == "" || (r.In == parley.TopicNotes) == s.note)
}

// search turns all pages over.
func (l *library) search(t *testing.T, ctx context.Context, who parley.Identity, r parley.SearchRequest) []found {
	t.Helper()
	var all []found
	patience := time.Now().Add(time.Minute)
	for {
		page, err := l.bridge.Search(ctx, who, r)
		if e := parley.ErrorOf(err); e != nil && e.Code == parley.CodeUnavailable && time.Now().Before(patience) {
			continue // a machine with much else to do: try again, it says
		}
		if err != nil {
			t.Fatalf("search %q: %v", r.Text, err)
		}
		for _, h := range page.Hits {
			stream := parley.MessagesOf(who.Site, h.Conversation)
			if h.In == parley.TopicNotes {
				stream = parley.NotesOf(who.Site, h.Conversation)
			}
			f := found{Conversation: h.Conversation, In: h.In, Seq: h.Seq, At: h.At, Sender: h.Sender, Edited: h.Edited}
			if s := l.places[position{stream, h.Seq}]; s != nil {
				f.Text = s.text
			}
			checkSnippet(t, h, f.Text)
			all = append(all, f)
		}
		if page.Next == "" {
			return all
		}
		r.Cursor = page.Next
	}
}

// checkSnippet expects a part of the text, with a hit in it.
func checkSnippet(t *testing.T, h parley.SearchHit, text string) {
	t.Helper()
	whole, hit := "", false
	for _, p := range h.Snippet {
		whole, hit = whole+p.Text, hit || p.Hit
	}
	if !hit || !strings.Contains(text, strings.TrimSuffix(strings.TrimPrefix(whole, "…"), "…")) {
		t.Errorf("snippet %+v of %q", h.Snippet, text)
	}
}
