package bridge_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// clock is set by the test.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_763_700_000, c.offset.Load()) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// expectLimited opens a conversation too fast and returns when it is allowed.
func (w *world) expectLimited(who parley.Identity, conversation string) time.Duration {
	w.Helper()
	answers, err := w.bridge.Record(w.Context(), who, conversation, []parley.Draft{draft(1)})
	refusal := parley.ErrorOf(err)
	if refusal == nil || refusal.Code != parley.CodeRateLimited || refusal.RetryAfter == 0 {
		w.Fatalf("opened too fast: %v, %v, want an error that is rate_limited and knows when it passes", answers, err)
	}
	if len(w.log(conversation)) != 0 {
		w.Fatalf("%s was opened", conversation)
	}
	return refusal.RetryAfter
}

func TestVisitorsOpenSoManyConversations(t *testing.T) {
	var c clock
	w := newWorldWith(t, bridge.Options{Now: c.now})
	const share = bridge.NewConversationsTime / bridge.NewConversations
	for i := range bridge.NewConversations {
		w.say(ann, fmt.Sprintf("c%d", i), draft(1))
	}
	if wait := w.expectLimited(ann, "late"); wait != share {
		t.Errorf("to be tried again in %s, want %s", wait, share)
	}

	w.say(ann, "c0", draft(2), draft(3)) // what exists goes on
	w.claim(lilei, "c1")
	if _, err := w.bridge.Finish(t.Context(), lilei, "c1"); err != nil {
		t.Fatal(err)
	}
	w.say(ann, "c1", draft(2)) // also what is closed
	w.say(bob, "c_bob", draft(1))
	abroad := ann
	abroad.Site = "t"
	w.say(abroad, "c_abroad", draft(1))

	c.advance(share - 1)
	w.expectLimited(ann, "late")
	c.advance(1)
	w.say(ann, "late", draft(1))
	w.expectLimited(ann, "later")

	c.advance(bridge.NewConversationsTime + 5*share)
	for i := range bridge.NewConversations {
		w.say(ann, fmt.Sprintf("d%d", i), draft(1))
	}
	w.expectLimited(ann, "later")
}

// Repeats, races and failures open nothing, and cost nothing.
func TestOnlyOpeningsAreCounted(t *testing.T) {
	var c clock
	const most = 8
	w := newWorldWith(t, bridge.Options{Now: c.now, NewConversations: most})
	for range 2 * most {
		w.say(ann, "c0", draft(1))
	}
	var all sync.WaitGroup
	for range most - 1 {
		all.Go(func() { w.say(ann, "c1", draft(1)) })
	}
	all.Wait()
	for i := range most - 2 {
		w.say(ann, fmt.Sprintf("c%d", i+2), draft(1))
	}
	w.expectLimited(ann, "late")

	w.closeStore()
	for range 2 * most {
		if _, err := w.bridge.Record(t.Context(), bob, "d0", []parley.Draft{draft(1)}); err == nil || parley.ErrorOf(err).Code == parley.CodeRateLimited {
			t.Fatalf("without a store: %v", err)
		}
	}
	_ = w.bridge.Close() // it cannot save the projection; the next one heals it
	w.open()
}

func TestConversationsOpenedAtOnceKeepTheLimit(t *testing.T) {
	var c clock
	w := newWorldWith(t, bridge.Options{Now: c.now})
	var opened atomic.Int64
	var all sync.WaitGroup
	for i := range 8 * bridge.NewConversations {
		all.Go(func() {
			answers, err := w.bridge.Record(t.Context(), ann, fmt.Sprintf("c%d", i), []parley.Draft{draft(1)})
			if err == nil && answers[0].Err == nil {
				opened.Add(1)
			}
		})
	}
	all.Wait()
	if n := opened.Load(); n != bridge.NewConversations {
		t.Errorf("%d were opened at once, want %d", n, bridge.NewConversations)
	}
	if n := w.bridge.Stats().Limited; n != 7*bridge.NewConversations {
		t.Errorf("%d counted as limited, want %d", n, 7*bridge.NewConversations)
	}
}
