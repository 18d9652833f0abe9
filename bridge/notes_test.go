package bridge_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// jot writes notes and expects them to be accepted.
func (w *world) jot(who parley.Identity, conversation string, drafts ...parley.Draft) []parley.Appended {
	w.Helper()
	answers, err := w.bridge.Note(w.Context(), who, conversation, drafts)
	if err != nil {
		w.Fatal(err)
	}
	for i, a := range answers {
		if a.Err != nil {
			w.Fatalf("note %d refused: %v", i, a.Err)
		}
	}
	return answers
}

func (w *world) expectNotes(who parley.Identity, since int64, want ...parley.StreamHead) {
	w.Helper()
	got, err := w.bridge.Streams(w.Context(), who, parley.TopicNotes, since)
	if err != nil {
		w.Fatal(err)
	}
	slices.SortFunc(got, func(a, b parley.StreamHead) int { return strings.Compare(string(a.Stream), string(b.Stream)) })
	if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
		w.Fatalf("notes of %s (-want +got):\n%s", who.User, diff)
	}
}

func notes(conversation string, head int64) parley.StreamHead {
	return parley.StreamHead{Stream: parley.NotesOf(site, conversation), Seq: head}
}

func TestNotesAreAStreamOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	before := w.claim(lilei, "c1")
	answers := w.jot(lilei, "c1", draft(1), draft(2)) // the ids of messages may be there again
	if answers[0].Entry.Seq != 1 || answers[1].Entry.Seq != 2 || answers[1].Entry.Count != 2 {
		t.Errorf("stored as %+v", answers)
	}
	for i, a := range w.jot(lilei, "c1", draft(1), draft(2)) {
		if !a.Duplicate || a.Entry.Seq != int64(i+1) {
			t.Errorf("the repeat is %+v", a)
		}
	}
	w.expectTypes("c1", parley.EntryOpened, parley.EntryText, parley.EntryAssigned)
	after, err := w.bridge.Conversation(t.Context(), lilei, "c1")
	if diff := cmp.Diff(before, after); diff != "" || err != nil {
		t.Errorf("the conversation has changed, %v:\n%s", err, diff)
	}
	many := make([]parley.Draft, 600) // more than one append takes
	for i := range many {
		many[i] = draft(100 + i)
	}
	if last := w.jot(lilei, "c1", many...)[599]; last.Entry.Seq != 602 {
		t.Errorf("the last of many is seq %d", last.Entry.Seq)
	}
}

// Rows of notes are in no list, whoever asks for which.
func TestNotesAreInNoList(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	w.jot(lilei, "c1", draft(1))
	w.jot(boss, "c1", draft(1))
	for _, who := range []parley.Identity{ann, lilei, boss} {
		w.expectList(who, parley.ConversationList{}, "c1")
	}
	w.expectNotes(ann, 0)
	w.expectNotes(boss, 0) // not the assignee
	w.expectNotes(lilei, 0, notes("c1", 2))
	elsewhere := lilei
	elsewhere.Site = "t"
	w.expectNotes(elsewhere, 0)
}

// The notes of a conversation change hands with it.
func TestNotesBelongToWhoIsResponsible(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"c1", "c2", "c3"} {
		w.say(ann, id, draft(1))
	}
	w.jot(lilei, "c1", draft(1)) // in the queue
	w.jot(lilei, "c2", draft(1), draft(2))
	w.expectNotes(lilei, 0)
	w.claim(lilei, "c1")
	w.claim(hanmm, "c2")
	w.claim(hanmm, "c3")
	w.expectNotes(lilei, 0, notes("c1", 1))
	w.expectNotes(hanmm, 0, notes("c2", 2))
	w.claim(boss, "c2")
	w.expectNotes(hanmm, 0)
	w.expectNotes(boss, 0, notes("c2", 2))
	w.jot(boss, "c2", draft(3))
	w.expectNotes(boss, 0, notes("c2", 3))
	if _, err := w.bridge.Finish(t.Context(), boss, "c2"); err != nil {
		t.Fatal(err)
	}
	w.jot(boss, "c2", draft(4))
	w.say(ann, "c2", draft(5)) // reopens it
	w.expectNotes(boss, 0)
	w.claim(lilei, "c2")
	w.expectNotes(lilei, 0, notes("c1", 1), notes("c2", 4))
}

// The rows of notes are behind the acknowledgement. A process that dies before
// they are written makes them at its next start, for who is responsible by then.
func TestNotesHealAfterACrash(t *testing.T) {
	w := newWorld(t)
	for n := range 6 {
		id := fmt.Sprintf("c%d", n)
		w.say(ann, id, draft(1))
		w.claim(lilei, id)
	}
	w.jot(lilei, "c0", draft(1))
	w.jot(lilei, "c1", draft(1))
	w.expectNotes(lilei, 0, notes("c0", 1), notes("c1", 1)) // written
	for n := range 4 {
		w.jot(lilei, fmt.Sprintf("c%d", n), draft(10), draft(11))
	}
	w.claim(boss, "c1")
	w.claim(boss, "c3")
	w.claim(boss, "c4")  // has none
	w.closeStore()       // the store goes first: what the bridge still holds is lost
	_ = w.bridge.Close() // ends its goroutines; its last save fails
	w.open()
	w.expectNotes(lilei, 0, notes("c0", 3), notes("c2", 2))
	w.expectNotes(boss, 0, notes("c1", 3), notes("c3", 2))
	w.jot(boss, "c4", draft(1))
	w.expectNotes(boss, 0, notes("c1", 3), notes("c3", 2), notes("c4", 1))
}

// The notes of long ago change hands just before a crash.
func TestOldNotesHealAfterACrash(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	w.jot(lilei, "c1", draft(1))
	w.expectNotes(lilei, 0, notes("c1", 1))
	w.close()
	w.later.Store(int64(5 * time.Hour))
	w.open()
	w.say(ann, "c2", draft(1))
	w.expectList(ann, parley.ConversationList{}, "c2", "c1") // all is written, the position too
	w.claim(boss, "c1")
	w.closeStore()
	_ = w.bridge.Close()
	w.open()
	w.expectNotes(lilei, 0)
	w.expectNotes(boss, 0, notes("c1", 1))
	w.expectNotes(boss, time.Now().Add(2*time.Hour).UnixMilli(), notes("c1", 1)) // it changed hands since
}

// Observers hear of a conversation before they are woken for notes about it, and
// of its notes when it changes hands.
func TestObserversHearOfNotes(t *testing.T) {
	w := newWorld(t)
	stream := parley.MessagesOf(site, "c1")
	w.say(ann, "c1", draft(1))
	w.followed(stream, 2) // or it is told together with what comes next
	w.jot(lilei, "c1", draft(1), draft(2))
	w.followed(parley.NotesOf(site, "c1"), 2)
	w.claim(lilei, "c1")
	w.followed(stream, 3)
	if _, err := w.bridge.Head(t.Context(), stream); err != nil { // behind all that was told
		t.Fatal(err)
	}
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	want := []string{
		"changed s/c/c1/messages 2", "advanced s/c/c1/messages 2", "noted s/c/c1/messages", "advanced s/c/c1/notes 2",
		"changed s/c/c1/messages 3", "advanced s/c/c1/notes 2", "advanced s/c/c1/messages 3",
	}
	if diff := cmp.Diff(want, w.seen.order); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// gathering is a store whose commits are told as one when the test says so.
type gathering struct {
	*sqlite.Store
	mu   sync.Mutex
	tell func([]parley.Entry)
	held []parley.Entry
}

func (g *gathering) Watch(fn func([]parley.Entry)) {
	g.tell = fn
	g.Store.Watch(func(entries []parley.Entry) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.held = append(g.held, entries...)
	})
}

func (g *gathering) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tell(g.held)
	g.held = nil
}

// Notes and a change of hands in one commit: the change is told first, so that
// who loses the conversation gets none of the notes behind it.
func TestChangeOfHandsIsToldBeforeNotes(t *testing.T) {
	w := newWorld(t)
	if err := w.bridge.Close(); err != nil {
		t.Fatal(err)
	}
	w.closeStore()
	store, err := sqlite.Open(t.Context(), sqlite.Options{Dir: w.dir})
	if err != nil {
		t.Fatal(err)
	}
	w.store, w.seen = store, &witness{}
	g := &gathering{Store: store}
	if w.bridge, err = bridge.New(t.Context(), g, w.options, w.seen); err != nil {
		t.Fatal(err)
	}
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	g.release()
	w.followed(parley.MessagesOf(site, "c1"), 3) // else both changes may be told as one
	w.jot(lilei, "c1", draft(2))
	w.claim(boss, "c1")
	w.jot(boss, "c1", draft(3))
	g.release()
	w.followed(parley.NotesOf(site, "c1"), 2)
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	want := []string{
		"changed s/c/c1/messages 3", "advanced s/c/c1/messages 3",
		"changed s/c/c1/messages 4", "advanced s/c/c1/messages 4", "noted s/c/c1/messages", "advanced s/c/c1/notes 2",
	}
	if diff := cmp.Diff(want, w.seen.order); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// Notes to what does not exist, or to what may not be read, are refused alike.
func TestNotesAreRefused(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	d := draft(7)
	w.jot(lilei, "c1", d)
	for name, tc := range map[string]struct {
		who          parley.Identity
		conversation string
		code         parley.Code
	}{
		"the visitor":          {ann, "c1", parley.CodeForbidden},
		"another visitor":      {bob, "c1", parley.CodeNotFound},
		"a colleague":          {hanmm, "c1", parley.CodeNotFound},
		"nothing there":        {hanmm, "c9", parley.CodeNotFound},
		"nothing there either": {boss, "c9", parley.CodeNotFound},
	} {
		answers, err := w.bridge.Note(t.Context(), tc.who, tc.conversation, []parley.Draft{d})
		if err != nil {
			t.Fatal(err)
		}
		if e := parley.ErrorOf(answers[0].Err); e == nil || e.Code != tc.code || e.ID != d.ID {
			t.Errorf("%s: %v, want %s", name, answers[0].Err, tc.code)
		}
	}
}
