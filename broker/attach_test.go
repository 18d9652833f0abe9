package broker

import (
	"sync"
	"testing"

	"github.com/parley-chat/parley"
)

// UNSUBSCRIBE of a membership filter comes while a conversation is being joined:
// nothing is delivered on it afterwards.
func TestJoiningBesideUnsubscribe(t *testing.T) {
	who := parley.Identity{Site: "s", User: "a", Device: "d", Role: parley.RoleAgent}
	c := parley.Conversation{Site: "s", ID: "c1", Status: parley.StatusOpen, Visitor: "v", Assignee: "a", Head: 3, Control: 3}
	filter, err := parley.ParseFilter("p1/s/c/+/messages")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		s := &session{
			broker: New(Options{}), who: who, device: who.DeviceKey(),
			filters: map[string]parley.Subscription{}, positions: positions{},
		}
		s.pump = newPump(s, 1, 0)
		s.pump.halt() // delivers nothing: this is about what it holds
		s.broker.hub.enter(s)
		s.pump.member(parley.TopicMessages, 1)
		var both sync.WaitGroup
		both.Go(func() { s.changed(c) })
		both.Go(func() { s.detach(t.Context(), filter) })
		both.Wait()
		if src := s.join(parley.TopicMessages, c.Stream()); src != nil || s.pump.delivers(c.Stream()) || len(s.broker.hub.streams) > 0 {
			t.Fatalf("round %d: still delivered", i)
		}
		s.pump.stop()
	}
}
