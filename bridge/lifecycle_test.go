package bridge_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/parley-chat/parley"
)

func TestClaimHasOneWinner(t *testing.T) {
	w := newWorld(t)
	for round := range 20 {
		id := fmt.Sprintf("c%d", round)
		w.say(ann, id, draft(1))
		var won, lost atomic.Int64
		var all sync.WaitGroup
		for i := range 64 {
			who := lilei
			who.User = fmt.Sprintf("agt_%d", i)
			all.Go(func() {
				c, err := w.bridge.Claim(t.Context(), who, id)
				switch {
				case err == nil && c.Assignee == who.User:
					won.Add(1)
				case err == nil:
					t.Errorf("%s claimed and %s is responsible", who.User, c.Assignee)
				case parley.ErrorOf(err).Code == parley.CodeConflict:
					lost.Add(1)
				default:
					t.Errorf("loser got %v", err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 || lost.Load() != 63 {
			t.Fatalf("round %d has %d winners and %d who came second", round, won.Load(), lost.Load())
		}
		w.expectTypes(id, parley.EntryOpened, parley.EntryText, parley.EntryAssigned)
	}
}

func TestClaimAndFinishAreIdempotent(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	if c := w.claim(lilei, "c1"); c.Status != parley.StatusOpen || c.Assignee != lilei.User {
		t.Errorf("claimed twice: %+v", c)
	}
	for range 2 {
		c, err := w.bridge.Finish(t.Context(), lilei, "c1")
		if err != nil || c.Status != parley.StatusClosed {
			t.Fatalf("finish: %+v, %v", c, err)
		}
	}
	w.expectTypes("c1", parley.EntryOpened, parley.EntryText, parley.EntryAssigned, parley.EntryClosed)
}

func TestWhoMayDecide(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	_, err := w.bridge.Claim(t.Context(), ann, "c1")
	expectCode(t, err, parley.CodeForbidden)
	_, err = w.bridge.Claim(t.Context(), lilei, "nowhere")
	expectCode(t, err, parley.CodeNotFound)
	_, err = w.bridge.Finish(t.Context(), lilei, "c1")
	expectCode(t, err, parley.CodeForbidden)
	w.claim(lilei, "c1")
	_, err = w.bridge.Claim(t.Context(), hanmm, "c1")
	expectCode(t, err, parley.CodeConflict)
	_, err = w.bridge.Claim(t.Context(), bob, "c1")
	expectCode(t, err, parley.CodeNotFound)
	abroad := hanmm
	abroad.Site = "t"
	_, err = w.bridge.Claim(t.Context(), abroad, "c1")
	expectCode(t, err, parley.CodeNotFound)
	_, err = w.bridge.Finish(t.Context(), hanmm, "c1")
	expectCode(t, err, parley.CodeNotFound)
	if c := w.claim(boss, "c1"); c.Assignee != boss.User {
		t.Errorf("a supervisor takes over, but %s is responsible", c.Assignee)
	}
	_, err = w.bridge.Conversation(t.Context(), lilei, "c1")
	expectCode(t, err, parley.CodeNotFound)
}

// Messages, claims, closes and reopenings all at once end in a log that a
// single reader could have written: every step decided on the one before it.
func TestLifecycleUnderConcurrency(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(0))
	var all sync.WaitGroup
	for i := range 4 {
		agent := lilei
		agent.User = fmt.Sprintf("agt_%d", i)
		all.Go(func() {
			for range 20 {
				_, _ = w.bridge.Claim(t.Context(), agent, "c1")
				_, _ = w.bridge.Finish(t.Context(), agent, "c1")
			}
		})
	}
	all.Go(func() {
		for n := 1; n <= 60; n++ {
			w.say(ann, "c1", draft(n))
		}
	})
	all.Wait()
	status := parley.Status("")
	texts := 0
	for _, e := range w.log("c1") {
		next := map[parley.EntryType]parley.Status{
			parley.EntryOpened: parley.StatusQueued, parley.EntryAssigned: parley.StatusOpen,
			parley.EntryClosed: parley.StatusClosed, parley.EntryReopened: parley.StatusQueued, parley.EntryText: status,
		}[e.Type]
		switch {
		case e.Type == parley.EntryAssigned && status != parley.StatusQueued,
			e.Type == parley.EntryClosed && status != parley.StatusOpen,
			e.Type == parley.EntryReopened && status != parley.StatusClosed,
			e.Type == parley.EntryText && status == parley.StatusClosed:
			t.Fatalf("%s at seq %d while %s", e.Type, e.Seq, status)
		}
		if e.Type == parley.EntryText {
			texts++
		}
		status = next
	}
	if texts != 61 {
		t.Errorf("%d messages, want 61", texts)
	}
}

// What was acknowledged counts at once, also for those who are refused.
func TestRefusalIsDecidedOnWhatIsTrue(t *testing.T) {
	w := newWorld(t)
	for range 200 {
		id := parley.NewID("cnv_")
		w.say(ann, id, draft(1))
		w.claim(lilei, id)
		if _, err := w.bridge.Finish(t.Context(), lilei, id); err != nil {
			t.Fatal(err)
		}
		w.say(ann, id, draft(2)) // acknowledged: in the queue again
		if _, err := w.bridge.Claim(t.Context(), hanmm, id); err != nil {
			t.Fatalf("claim of a queued conversation: %v", err)
		}
	}
}
