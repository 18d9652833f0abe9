package bridge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// eventuallyFinds waits until the index is filled and a search finds want.
func (w *world) eventuallyFinds(who parley.Identity, r parley.SearchRequest, want ...string) {
	w.Helper()
	w.eventually(func() string {
		page, hits := w.search(who, r)
		if page.Indexing {
			return "the index is still being filled"
		}
		return cmp.Diff(append([]string{}, want...), hits)
	})
}

// What was written, edited and deleted shortly before an end, or a kill, is in
// the index after the next start.
func TestIndexAfterRestart(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %v", killed), func(t *testing.T) {
			w := newWorld(t)
			w.say(ann, "c1", text("00001", "apple"), text("00002", "banana"), text("00003", "cherry"))
			w.finds(ann, looking("banana"), "c1/messages 3") // all of them are in the index
			w.say(ann, "c1", text("00004", "damson"), edit(1, 2, "elder"), deletion(1, 3))
			if killed { // the bridge has no time to write
				w.closeStore()
				if err := w.bridge.Close(); err == nil {
					t.Error("the bridge has saved to a closed store")
				}
			} else {
				w.close()
			}
			w.open()
			w.eventuallyFinds(ann, looking("elder"), "c1/messages 2")
			w.finds(ann, looking("apple"))
			w.finds(ann, looking("banana"))
			w.finds(ann, looking("cherry"), "c1/messages 4")
			w.finds(ann, looking("damson"), "c1/messages 5")
		})
	}
}

// unindexed is a store as it was before there was an index.
type unindexed struct{ *sqlite.Store }

func (unindexed) SaveDocuments(context.Context, []bridge.Document, int64) error {
	return errors.New("there is no index")
}

// An old folder is filled from the beginning, whatever is said meanwhile, with
// edits and deletes that are older than the index; and again when the process
// ends in between.
func TestIndexOfAnOldFolder(t *testing.T) {
	const conversations, each = 30, 60
	dir := t.TempDir()
	fill(t, dir, conversations, each)

	log := &lines{}
	w := &world{T: t, dir: dir, options: bridge.Options{NewConversations: 10_000, SearchTime: time.Minute, Logger: slog.New(slog.NewTextHandler(log, nil))}}
	w.open()
	defer func() { w.close() }()
	for n := range 5 {
		if page, _ := w.search(boss, looking("text")); page.Indexing {
			w.say(bob, "cb", text(fmt.Sprintf("%05d", n), "meanwhile"))
		}
		w.close() // perhaps in the middle
		w.open()
	}
	var want, all []string
	for n := range 5 {
		a := w.say(bob, "cb", text(fmt.Sprintf("%05d", n), "meanwhile"))[0]
		want = append([]string{fmt.Sprintf("cb/messages %d", a.Entry.Seq)}, want...)
	}
	w.eventuallyFinds(boss, looking("meanwhile"), want...)
	w.finds(boss, looking("edited"), "c0/messages 2")
	w.finds(boss, looking("deleted"))
	ask := parley.SearchRequest{Text: "text", Limit: 100}
	for {
		page, hits := w.search(boss, ask)
		all = append(all, hits...)
		if ask.Cursor = page.Next; page.Next == "" {
			break
		}
	}
	if len(all) != conversations*each-2 { // one says something else, one is gone
		t.Errorf("%d of the old messages are found", len(all))
	}
	if s := w.bridge.Stats(); s.IndexBehind != 0 || s.IndexWaiting != 0 || s.Indexed == 0 {
		t.Errorf("%+v", s)
	}
	if strings.Contains(log.String(), "meanwhile") {
		t.Error("the log tells what is said")
	}
}

// fill makes a folder with messages that are in no index.
func fill(t *testing.T, dir string, conversations, each int) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bridge.New(t.Context(), unindexed{store}, bridge.Options{NewConversations: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	record := func(id string, drafts ...parley.Draft) {
		t.Helper()
		if _, err := b.Record(t.Context(), ann, id, drafts); err != nil {
			t.Fatal(err)
		}
	}
	for c := range conversations {
		drafts := make([]parley.Draft, each)
		for n := range drafts {
			drafts[n] = draft(n)
		}
		record(fmt.Sprintf("c%d", c), drafts...)
	}
	record("c0", edit(1, 2, "edited"), edit(2, 3, "deleted"), deletion(1, 3))
	if s := b.Stats(); s.Indexed != 0 {
		t.Errorf("%+v", s)
	}
	if err := errors.Join(b.Close(), store.Close()); err != nil {
		t.Fatal(err)
	}
}

// lines is a log that may be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// stopped is a store whose index cannot be written for a while.
type stopped struct {
	*sqlite.Store
	down *atomic.Bool
}

func (s stopped) SaveDocuments(ctx context.Context, docs []bridge.Document, position int64) error {
	if s.down.Load() {
		return errors.New("no room for the index")
	}
	return s.Store.SaveDocuments(ctx, docs, position)
}

// While the index cannot be written, messages are, more than fit into memory;
// searches say what they lack, and it is found later.
func TestIndexBehind(t *testing.T) {
	store, err := sqlite.Open(t.Context(), sqlite.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s := stopped{store, &atomic.Bool{}}
	b, err := bridge.New(t.Context(), s, bridge.Options{NewConversations: 10_000, SearchTime: 4 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(b.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	}()
	w := &world{T: t, bridge: b}
	w.say(ann, "c1", text("first", "first"))
	w.eventuallyFinds(ann, looking("first"), "c1/messages 2")
	s.down.Store(true)
	drafts := make([]parley.Draft, 5000)
	for n := range drafts {
		drafts[n] = draft(n)
	}
	w.say(ann, "c2", drafts...)
	page, hits := w.search(ann, looking("text"))
	if !page.Indexing || len(hits) != 0 {
		t.Errorf("indexing %v, %d hits", page.Indexing, len(hits))
	}
	if st := b.Stats(); st.IndexBehind <= 0 {
		t.Errorf("%+v", st)
	}
	if _, hits := w.search(ann, looking("first")); len(hits) != 1 {
		t.Errorf("what is in the index gives %v", hits)
	}
	s.down.Store(false)
	for deadline := time.Now().Add(time.Minute); b.Stats().IndexBehind != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", b.Stats())
		}
	}
	w.finds(ann, looking("4999"), "c2/messages 5001")
	w.finds(ann, looking("17"), "c2/messages 19")
	if st := b.Stats(); st.IndexWaiting != 0 || st.Indexed < 5001 {
		t.Errorf("%+v", st)
	}
}

// Searching and writing at once, by many, finds every message that was
// acknowledged before.
func TestIndexUnderLoad(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", text("first", "first"))
	w.eventuallyFinds(ann, looking("first"), "c1/messages 2")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for n := range 4 {
		who := ann
		who.User = fmt.Sprintf("vis_%d", n)
		wg.Go(func() {
			for i := range 60 {
				word := fmt.Sprintf("w%dx%d", n, i)
				answers, err := w.bridge.Record(ctx, who, "c"+who.User, []parley.Draft{text(fmt.Sprintf("%05d", i), word)})
				if err != nil || answers[0].Err != nil {
					t.Errorf("%v, %v", answers, err)
					return
				}
				page, err := w.bridge.Search(ctx, who, looking(word))
				if err != nil || len(page.Hits) != 1 && !page.Indexing && !page.Partial {
					t.Errorf("%s: %+v, %v", word, page, err)
				}
			}
		})
	}
	wg.Wait()
}
