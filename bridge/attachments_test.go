package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// uploaded puts attachments into the store that are complete and not sent.
func (w *world) uploaded(who parley.Identity, conversation string, ids ...string) {
	w.Helper()
	for _, id := range ids {
		a := parley.Attachment{
			Site: who.Site, ID: id, Conversation: conversation, Uploader: who.User, State: parley.AttachmentReady, Version: 1,
			Name: id + ".png", Type: "image/png", Size: 7, Width: 2, Height: 3, Thumbnail: true,
		}
		if err := w.store.SaveAttachment(w.Context(), a); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) attachment(id string) parley.Attachment {
	w.Helper()
	a, err := w.store.Attachment(w.Context(), ann.Site, id)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

func (w *world) expectState(id string, want parley.AttachmentState, seq int64) {
	w.Helper()
	if a := w.attachment(id); a.State != want || a.Seq != seq {
		w.Errorf("%s is %s with seq %d, want %s and %d", id, a.State, a.Seq, want, seq)
	}
}

func (w *world) expectSeen(id string, want bool, by ...parley.Identity) {
	w.Helper()
	for _, who := range by {
		err := w.bridge.MaySee(w.Context(), who, w.attachment(id))
		if want != (err == nil) || err != nil && parley.ErrorOf(err).Code != parley.CodeNotFound {
			w.Errorf("%s sees %s: %v, want %v", who.User, id, err, want)
		}
	}
}

// with is a draft that lists attachments.
func with(n int, text string, ids ...string) parley.Draft {
	d := parley.Draft{ID: draft(n).ID, Type: parley.EntryText}
	d.Body = fmt.Appendf(nil, `{"text":"%s","attachments":[{"id":"%s"}]}`, text, strings.Join(ids, `"},{"id":"`))
	return d
}

func filled(text string, ids ...string) string {
	var list []string
	for _, id := range ids {
		list = append(list, fmt.Sprintf(`{"id":"%s","name":"%s.png","type":"image/png","size":7,"width":2,"height":3,"thumbnail":true}`, id, id))
	}
	return fmt.Sprintf(`{"text":"%s","attachments":[%s]}`, text, strings.Join(list, ","))
}

func TestMessagesHaveAttachments(t *testing.T) {
	w := newWorld(t)
	w.uploaded(ann, "c1", "att_1", "att_2", "att_3")
	w.expectSeen("att_1", true, ann)
	w.expectSeen("att_1", false, bob, lilei, boss)
	answers := w.say(ann, "c1", draft(1), with(2, "<look>", "att_1", "att_2"), draft(3), with(4, "", "att_3"))
	if body, want := string(answers[1].Entry.Body), filled("<look>", "att_1", "att_2"); body != want {
		t.Errorf("body %s, want %s", body, want)
	}
	w.expectTypes("c1", parley.EntryOpened, parley.EntryText, parley.EntryText, parley.EntryText, parley.EntryText)
	w.expectLastText("c1", "att_3.png")
	w.expectState("att_1", parley.AttachmentSent, 3)
	w.expectState("att_3", parley.AttachmentSent, 5)
	w.expectSeen("att_1", true, ann, lilei, boss) // it waits in the queue
	w.expectSeen("att_1", false, bob)
	w.claim(boss, "c1")
	w.expectSeen("att_1", true, ann, boss)
	w.expectSeen("att_1", false, bob, lilei)

	again := w.say(ann, "c1", with(2, "<look>", "att_1", "att_2"))
	if !again[0].Duplicate || again[0].Entry.Seq != 3 {
		t.Errorf("the repeat is %+v", again[0])
	}
	w.refused(ann, "c1", with(2, "<look>", "att_1"), parley.CodeConflict)
	w.expectState("att_2", parley.AttachmentSent, 3)
}

func TestAttachmentsAreRefused(t *testing.T) {
	w := newWorld(t)
	w.uploaded(ann, "c1", "att_1", "att_2")
	w.uploaded(ann, "c2", "att_c2")
	w.uploaded(bob, "c1", "att_bea")
	taking := parley.Attachment{Site: ann.Site, ID: "att_taking", Conversation: "c1", Uploader: ann.User, State: parley.AttachmentTaking, Version: 1}
	if err := w.store.SaveAttachment(w.Context(), taking); err != nil {
		t.Fatal(err)
	}
	w.refused(ann, "c1", with(1, "x", "att_none"), parley.CodeNotFound)
	w.say(ann, "c1", with(1, "x", "att_1"))
	w.refused(ann, "c1", with(2, "x", "att_2", "att_1"), parley.CodeConflict)
	w.refused(ann, "c1", with(3, "x", "att_2", "att_c2"), parley.CodeNotFound)
	w.refused(ann, "c1", with(4, "x", "att_2", "att_bea"), parley.CodeNotFound)
	w.refused(ann, "c1", with(5, "x", "att_2", "att_taking"), parley.CodeInvalid)
	w.refused(bob, "c1", with(6, "x", "att_bea"), parley.CodeNotFound) // it is not bob's conversation
	w.refused(lilei, "c1", with(7, "x", "att_2"), parley.CodeNotFound) // nor max's file
	w.expectState("att_2", parley.AttachmentReady, 0)                  // what is refused gives it back
	w.expectState("att_bea", parley.AttachmentReady, 0)
	w.say(ann, "c1", with(8, "x", "att_2"))
	w.expectState("att_2", parley.AttachmentSent, 3)
}

// Of messages that want the same file at once, one gets it.
func TestAttachmentsRace(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	for round := range 10 {
		id := fmt.Sprintf("att_%d", round)
		w.uploaded(ann, "c1", id)
		var stored atomic.Int64
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				answers, err := w.bridge.Record(w.Context(), ann, "c1", []parley.Draft{with(100*round+n+2, "x", id)})
				if err != nil {
					t.Errorf("record: %v", err)
				} else if answers[0].Err == nil {
					stored.Add(1)
				}
			})
		}
		wg.Wait()
		if stored.Load() != 1 {
			t.Fatalf("%d messages have it", stored.Load())
		}
	}
}

// swept is a store in which somebody sweeps right before a message is appended.
type swept struct {
	bridge.Store
	sweep func()
}

func (s *swept) Append(ctx context.Context, stream parley.Stream, entries []parley.Entry, expect int64) ([]parley.Appended, error) {
	s.sweep()
	return s.Store.Append(ctx, stream, entries, expect)
}

// A message that comes again when its old claim is about to be swept keeps its file.
func TestClaimIsSwept(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.uploaded(ann, "c1", "att_1")
	claimed := w.attachment("att_1") // as a crash leaves it
	claimed.State, claimed.Message, claimed.Version = parley.AttachmentClaimed, draft(2).ID, 2
	if err := w.store.SaveAttachment(t.Context(), claimed); err != nil {
		t.Fatal(err)
	}
	var late error
	store := &swept{w.store, func() {
		going := claimed
		going.State, going.Version = parley.AttachmentGoing, claimed.Version+1
		late = w.store.SaveAttachment(t.Context(), going)
	}}
	b, err := bridge.New(t.Context(), store, w.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	answers, err := b.Record(t.Context(), ann, "c1", []parley.Draft{with(2, "x", "att_1")})
	if err != nil || answers[0].Err != nil {
		t.Fatal(err, answers)
	}
	if !errors.Is(late, parley.ErrStale) {
		t.Errorf("the sweep got %v", late)
	}
	w.expectState("att_1", parley.AttachmentSent, answers[0].Entry.Seq)
}

// Its sender sees a file also while the message is on its way that opens the conversation.
func TestSeenOnTheWay(t *testing.T) {
	w := newWorld(t)
	w.uploaded(ann, "c1", "att_1")
	store := &swept{w.store, func() {
		w.expectState("att_1", parley.AttachmentClaimed, 0)
		w.expectSeen("att_1", true, ann)
		w.expectSeen("att_1", false, bob, lilei, boss)
	}}
	b, err := bridge.New(t.Context(), store, w.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	answers, err := b.Record(t.Context(), ann, "c1", []parley.Draft{with(1, "x", "att_1")})
	if err != nil || answers[0].Err != nil {
		t.Fatal(err, answers)
	}
}

func TestAttachmentsOfNotes(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	w.uploaded(lilei, "c1", "att_1", "att_2")
	w.jot(lilei, "c1", draft(1), with(2, "internal", "att_1"))
	w.expectState("att_1", parley.AttachmentSent, 2)
	w.expectSeen("att_1", true, lilei, boss)
	w.expectSeen("att_1", false, ann, bob)
	w.refused(lilei, "c1", with(2, "internal", "att_1"), parley.CodeConflict) // as a message
	if w.attachment("att_1").Stream() != parley.NotesOf(ann.Site, "c1") {
		t.Error("it is not the note's any more")
	}
	answers, err := w.bridge.Note(w.Context(), ann, "c1", []parley.Draft{with(3, "x", "att_2")})
	if err != nil || parley.ErrorOf(answers[0].Err).Code != parley.CodeForbidden {
		t.Errorf("a visitor notes: %v, %v", answers, err)
	}
	w.jot(lilei, "c1", deletion(4, 2))
	w.expectState("att_1", parley.AttachmentGoing, 2)
	w.expectSeen("att_1", false, lilei, boss)
}

func TestDeletingTakesAttachments(t *testing.T) {
	var released atomic.Int64
	w := newWorldWith(t, bridge.Options{Released: func() { released.Add(1) }})
	w.uploaded(ann, "c1", "att_1", "att_2", "att_3")
	w.say(ann, "c1", with(1, "x", "att_1", "att_2"), with(2, "x", "att_3"))
	w.say(ann, "c1", edit(1, 2, "y"))
	w.expectState("att_1", parley.AttachmentSent, 2)
	w.expectSeen("att_1", true, ann)
	w.refused(bob, "c1", deletion(1, 2), parley.CodeNotFound)
	w.refused(lilei, "c1", deletion(1, 2), parley.CodeForbidden)
	w.expectState("att_1", parley.AttachmentSent, 2)
	w.say(ann, "c1", deletion(2, 2))
	for _, id := range []string{"att_1", "att_2"} {
		w.expectState(id, parley.AttachmentGoing, 2)
		w.expectSeen(id, false, ann, boss)
	}
	w.expectSeen("att_3", true, ann, boss)
	if released.Load() != 1 {
		t.Errorf("released %d times", released.Load())
	}
	for range 2 { // what is gone still answers its sender
		again := w.say(ann, "c1", with(1, "x", "att_1", "att_2"))
		if !again[0].Duplicate || !again[0].Entry.Redacted {
			t.Errorf("the repeat is %+v", again[0])
		}
		if err := w.store.DeleteAttachment(t.Context(), ann.Site, "att_1"); err != nil {
			t.Fatal(err)
		}
	}
	w.refused(ann, "c1", with(3, "x", "att_2"), parley.CodeNotFound)
}

func TestCutTakesAttachments(t *testing.T) {
	w := newWorld(t)
	w.uploaded(ann, "c1", "att_1", "att_2")
	w.uploaded(lilei, "c1", "att_note")
	w.say(ann, "c1", with(1, "x", "att_1"), with(2, "x", "att_2"))
	w.jot(lilei, "c1", with(1, "x", "att_note"))
	w.cut(parley.MessagesOf(ann.Site, "c1"), 3, 3)
	w.expectState("att_1", parley.AttachmentGoing, 2)
	w.expectSeen("att_1", false, ann)
	w.expectSeen("att_2", true, ann)
	w.expectSeen("att_note", true, lilei)
}

func TestMayAttach(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.say(ann, "c2", draft(1))
	w.claim(boss, "c2")
	for _, tc := range []struct {
		who          parley.Identity
		conversation string
		code         parley.Code
	}{
		{ann, "c1", ""}, {ann, "c_new", ""}, {bob, "c1", parley.CodeNotFound}, {boss, "c1", ""}, {boss, "c_new", parley.CodeNotFound},
		{lilei, "c1", ""}, // for a note
		{lilei, "c2", parley.CodeNotFound},
	} {
		err := w.bridge.MayAttach(t.Context(), tc.who, tc.conversation)
		var code parley.Code
		if err != nil {
			code = parley.ErrorOf(err).Code
		}
		if code != tc.code {
			t.Errorf("%s in %s: %v, want %q", tc.who.User, tc.conversation, err, tc.code)
		}
	}
}

// Whoever sweeps finds the message whose seq nobody has noted.
func TestMessageOf(t *testing.T) {
	w := newWorld(t)
	w.uploaded(ann, "c1", "att_1")
	for n := range 600 {
		w.say(ann, "c1", draft(n+1))
	}
	w.say(ann, "c1", with(1000, "x", "att_1"))
	a := w.attachment("att_1")
	for _, seq := range []int64{a.Seq, 0} {
		a.Seq = seq
		e, err := w.bridge.MessageOf(t.Context(), a)
		if err != nil || e.Seq != 602 {
			t.Errorf("%v at %d, %v", e.ID, e.Seq, err)
		}
	}
	a.Message = "msg_another"
	e, err := w.bridge.MessageOf(t.Context(), a)
	if d := cmp.Diff(parley.Entry{}, e); d != "" || err != nil {
		t.Errorf("found %s, %v", d, err)
	}
}
