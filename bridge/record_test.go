package bridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

func TestFirstMessageOpensTheConversation(t *testing.T) {
	w := newWorld(t)
	answers := w.say(ann, "c1", draft(1), draft(2))
	if answers[0].Entry.Seq != 2 || answers[1].Entry.Seq != 3 {
		t.Fatalf("seqs %d and %d, want 2 and 3", answers[0].Entry.Seq, answers[1].Entry.Seq)
	}
	w.expectTypes("c1", parley.EntryOpened, parley.EntryText, parley.EntryText)
	opened := w.log("c1")[0]
	if opened.Sender != parley.SenderSystem || string(opened.Body) != `{"visitor":"vis_ann","name":"Ann"}` {
		t.Errorf("opened by %s with %s", opened.Sender, opened.Body)
	}
}

func TestRepeatAnswersTheFirstPosition(t *testing.T) {
	w := newWorld(t)
	first := w.say(ann, "c1", draft(1))[0]
	w.say(ann, "c1", draft(2))
	again := w.say(ann, "c1", draft(1))[0]
	if !again.Duplicate || again.Entry.Seq != first.Entry.Seq || again.Entry.At != first.Entry.At {
		t.Errorf("repeat answered %+v, want duplicate of seq %d", again, first.Entry.Seq)
	}
	other := parley.NewText("msg_00001", "something else")
	w.refused(ann, "c1", other, parley.CodeConflict)
	w.expectTypes("c1", parley.EntryOpened, parley.EntryText, parley.EntryText)
}

// A message that was accepted stays accepted: its repeat is answered with its
// position even when its sender may not write any more.
func TestRepeatAfterTheRightToWriteIsGone(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	first := w.say(lilei, "c1", draft(2))[0]
	if _, err := w.bridge.Finish(t.Context(), lilei, "c1"); err != nil {
		t.Fatal(err)
	}
	again := w.say(lilei, "c1", draft(2))[0]
	if !again.Duplicate || again.Entry.Seq != first.Entry.Seq {
		t.Errorf("repeat answered %+v, want duplicate of seq %d", again, first.Entry.Seq)
	}
	w.refused(lilei, "c1", draft(3), parley.CodeClosed)
}

func TestWhoMayRecord(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.refused(bob, "c1", draft(2), parley.CodeNotFound)
	w.refused(lilei, "c1", draft(2), parley.CodeForbidden)
	w.refused(lilei, "nowhere", draft(2), parley.CodeNotFound)
	w.claim(lilei, "c1")
	w.say(lilei, "c1", draft(2))
	w.refused(hanmm, "c1", draft(3), parley.CodeNotFound)
	w.say(boss, "c1", draft(3))
	abroad := ann
	abroad.Site = "t"
	w.say(abroad, "c1", draft(1)) // the same id on another site is another conversation
	w.expectTypes("c1", parley.EntryOpened, parley.EntryText, parley.EntryAssigned, parley.EntryText, parley.EntryText)
}

func TestVisitorReopens(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	if _, err := w.bridge.Finish(t.Context(), lilei, "c1"); err != nil {
		t.Fatal(err)
	}
	w.say(ann, "c1", draft(2))
	w.expectTypes("c1", parley.EntryOpened, parley.EntryText, parley.EntryAssigned, parley.EntryClosed, parley.EntryReopened, parley.EntryText)
	c, err := w.bridge.Conversation(t.Context(), ann, "c1")
	if err != nil || c.Status != parley.StatusQueued || c.Assignee != "" {
		t.Errorf("reopened conversation is %+v, %v", c, err)
	}
}

// Two visitors' clients made the same id: whoever is first owns it, the other
// is told nothing about it.
func TestTwoVisitorsClaimOneID(t *testing.T) {
	w := newWorld(t)
	for round := range 50 {
		id := fmt.Sprintf("c%d", round)
		var accepted atomic.Int64
		var all sync.WaitGroup
		for _, who := range []parley.Identity{ann, bob} {
			all.Go(func() {
				answers, err := w.bridge.Record(t.Context(), who, id, []parley.Draft{draft(1), draft(2)})
				switch {
				case err != nil:
					t.Error(err)
				case answers[0].Err == nil && answers[1].Err == nil:
					accepted.Add(1)
				case parley.ErrorOf(answers[0].Err).Code != parley.CodeNotFound || parley.ErrorOf(answers[1].Err).Code != parley.CodeNotFound:
					t.Errorf("loser got %v, %v", answers[0].Err, answers[1].Err)
				}
			})
		}
		all.Wait()
		if accepted.Load() != 1 {
			t.Fatalf("round %d: %d owners", round, accepted.Load())
		}
		w.expectTypes(id, parley.EntryOpened, parley.EntryText, parley.EntryText)
	}
}

// Two devices of one visitor send at once, also across the opening and a
// reopening: nothing is lost, nothing is doubled.
func TestTwoDevicesSendAtOnce(t *testing.T) {
	w := newWorld(t)
	phone := ann
	phone.Device = "dev_2"
	for round := range 30 {
		id := fmt.Sprintf("c%d", round)
		var all sync.WaitGroup
		for i, who := range []parley.Identity{ann, phone} {
			all.Go(func() {
				for n := range 5 {
					if _, err := w.bridge.Record(t.Context(), who, id, []parley.Draft{draft(10*i + n), draft(100 + n)}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		ids := map[string]int{}
		for _, e := range w.log(id) {
			ids[e.ID]++
		}
		if len(ids) != 1+10+5 {
			t.Fatalf("round %d: %d distinct entries, want 16: %v", round, len(ids), ids)
		}
		for entry, n := range ids {
			if n != 1 {
				t.Errorf("%s is stored %d times", entry, n)
			}
		}
	}
}

func TestRecordMoreThanOneAppend(t *testing.T) {
	w := newWorld(t)
	drafts := make([]parley.Draft, 2*bridge.MaxAppend+3)
	for i := range drafts {
		drafts[i] = draft(i)
	}
	answers := w.say(ann, "c1", drafts...)
	for i, a := range answers {
		if a.Entry.Seq != int64(i+2) || a.Entry.ID != drafts[i].ID {
			t.Fatalf("draft %d has seq %d", i, a.Entry.Seq)
		}
	}
}

// A writer who gives up leaves no hole, and its repeat is stored once.
func TestRecordCancelled(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(0))
	for n := 1; n <= 100; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		_, err := w.bridge.Record(ctx, ann, "c1", []parley.Draft{draft(n)})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		w.say(ann, "c1", draft(n))
	}
	if n := len(w.log("c1")); n != 102 {
		t.Fatalf("%d entries, want 102", n)
	}
}

func TestRefusalIsDurableAndOnceForEachAttempt(t *testing.T) {
	w := newWorld(t)
	refusal := parley.Errorf(parley.CodeInvalid, "unknown type").About("msg_00001")
	for _, key := range []string{"a", "a", "b", "a"} {
		if err := w.bridge.Refuse(t.Context(), ann, key, "p1/s/c/c1/send", refusal); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := w.store.Read(t.Context(), parley.ErrorsOf(site, ann.User, ann.Device), 0, 10)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d refusals, %v; want 2", len(entries), err)
	}
	want := `{"id":"msg_00001","topic":"p1/s/c/c1/send","code":"invalid","retry":false,"message":"unknown type"}`
	if string(entries[0].Body) != want {
		t.Errorf("body %s, want %s", entries[0].Body, want)
	}
}

// A refusal does not carry back what no topic can be.
func TestRefusalNamesTheBeginningOfALongTopic(t *testing.T) {
	w := newWorld(t)
	for topic, want := range map[string]string{
		strings.Repeat("x", 256):         strings.Repeat("x", 256),
		strings.Repeat("x", 65_535):      strings.Repeat("x", 256) + "…",
		strings.Repeat("x", 255) + "你好":  strings.Repeat("x", 255) + "…",
		strings.Repeat("x", 253) + "你好x": strings.Repeat("x", 253) + "你…",
	} {
		who := ann
		who.Device = parley.NewID(parley.PrefixDevice)
		if err := w.bridge.Refuse(t.Context(), who, "k1", topic, parley.Errorf(parley.CodeInvalid, "no such topic")); err != nil {
			t.Fatal(err)
		}
		stream := parley.ErrorsOf(who.Site, who.User, who.Device)
		told, err := w.bridge.Deliveries(t.Context(), stream, 0, 10)
		if err != nil || len(told) != 1 {
			t.Fatal(told, err)
		}
		e, _, err := parley.DecodeEntry(stream, told[0].Payload)
		if err != nil {
			t.Fatal(err)
		}
		var body struct{ Topic string }
		if err := json.Unmarshal(e.Body, &body); err != nil || body.Topic != want {
			t.Errorf("topic of %d bytes is named %q, %v; want %q", len(topic), body.Topic, err, want)
		}
	}
}

func TestObserversSeeEverythingInOrder(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	for i := range 8 {
		who := ann
		who.User = fmt.Sprintf("vis_%d", i)
		all.Go(func() {
			for n := range 50 {
				if _, err := w.bridge.Record(t.Context(), who, fmt.Sprintf("c%d", i), []parley.Draft{draft(n)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for i := range 8 {
		stream := parley.MessagesOf(site, fmt.Sprintf("c%d", i))
		w.eventually(func() string {
			if h := w.seen.head(stream); h != 51 {
				return fmt.Sprintf("%s is at %d, want 51", stream, h)
			}
			return ""
		})
	}
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	for stream, seqs := range w.seen.advanced {
		if !slices.IsSorted(seqs) {
			t.Errorf("%s advanced out of order: %v", stream, seqs)
		}
	}
	if w.seen.decided != 8 {
		t.Errorf("%d decisions, want the 8 openings", w.seen.decided)
	}
	for i, what := range w.seen.order { // who may read is known before readers are woken
		var stream string
		var seq int64
		if n, _ := fmt.Sscanf(what, "advanced %s %d", &stream, &seq); n == 2 && w.seen.order[i-1] != fmt.Sprintf("changed %s %d", stream, seq) {
			t.Fatalf("%q comes after %q", what, w.seen.order[i-1])
		}
	}
}

// The repeat of a message that was stored long ago does not open a closed
// conversation again.
func TestRepeatDoesNotReopen(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	if _, err := w.bridge.Finish(t.Context(), lilei, "c1"); err != nil {
		t.Fatal(err)
	}
	again := w.say(ann, "c1", draft(1))[0] // the PUBACK was lost: the outbox sends again
	if !again.Duplicate {
		t.Fatal("not a duplicate")
	}
	w.expectTypes("c1", parley.EntryOpened, parley.EntryText, parley.EntryAssigned, parley.EntryClosed)
}

// Nor does a draft that is refused.
func TestConflictDoesNotReopen(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	if _, err := w.bridge.Finish(t.Context(), lilei, "c1"); err != nil {
		t.Fatal(err)
	}
	w.refused(ann, "c1", parley.NewText(draft(1).ID, "other"), parley.CodeConflict)
	w.expectTypes("c1", parley.EntryOpened, parley.EntryText, parley.EntryAssigned, parley.EntryClosed)
}

// The repeat of an agent's stored message after the conversation was taken
// over by somebody else is answered with its position.
func TestRepeatAfterTheRightToReadIsGone(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	first := w.say(lilei, "c1", draft(2))[0]
	w.claim(boss, "c1")
	answers, err := w.bridge.Record(t.Context(), lilei, "c1", []parley.Draft{draft(2)})
	if err != nil {
		t.Fatal(err)
	}
	if a := answers[0]; !a.Duplicate || a.Entry.Seq != first.Entry.Seq {
		t.Errorf("a message that everybody sees at seq %d is refused for good: %v", first.Entry.Seq, a.Err)
	}
}
