package bridge

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-chat/parley"
)

// However many visitors come, the limiter remembers a bounded number of them,
// and forgets first those whom it would not refuse anyway.
func TestRememberedOpenersAreBounded(t *testing.T) {
	now := time.Unix(1_763_700_000, 0)
	o := newOpenings(func() time.Time { return now }, NewConversations)
	visitor := func(kind string, n int) parley.Identity {
		return parley.Identity{Site: "s", User: fmt.Sprintf("vis_%s%d", kind, n), Role: parley.RoleVisitor}
	}
	for i := range maxOpeners - 1 {
		if err := o.take(visitor("early", i)); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(NewConversationsTime)
	busy := visitor("busy", 0)
	for range NewConversations {
		if err := o.take(busy); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.take(visitor("late", 0)); err != nil {
		t.Fatal(err)
	}
	if len(o.free) != 2 {
		t.Errorf("%d visitors are remembered, want the two of this hour", len(o.free))
	}
	if o.take(busy) == nil {
		t.Error("making room forgave who is at the limit")
	}
	for i := range maxOpeners + 100 {
		if err := o.take(visitor("flood", i)); err != nil {
			t.Fatal(err)
		}
		if len(o.free) > maxOpeners {
			t.Fatalf("%d visitors are remembered, want at most %d", len(o.free), maxOpeners)
		}
	}
}
