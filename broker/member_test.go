package broker_test

import (
	"encoding/json"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// marker delivers something to c that comes later than everything before it.
func (w *world) marker(c *client) {
	w.t.Helper()
	c.follow(c.errorsTopic())
	c.publish("p1/nowhere", nil)
	c.expectRefusal()
}

func TestConversationThatIsAssignedComesFromItsFirstEntry(t *testing.T) {
	for name, online := range map[string]bool{"online": true, "away": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			agent := w.agent("lilei")
			id := w.conversation(w.visitor(), 200) // more than the tail in memory
			c := w.resume(t, agent, 5)
			c.followMessages()
			w.marker(c)
			c.expectNone("a delivery", func(pk packets.Packet) bool { return on(pk, c.messagesTopic(id)) })
			if !online {
				w.away(c)
			}
			w.claim(agent, id)
			if !online {
				c = w.resume(t, agent, 5)
			}
			if e := c.expectEntry(c.messagesTopic(id)); e.Type != parley.EntryOpened {
				t.Errorf("the first entry is %s", e.Type)
			}
			c.expectTexts(id, w.texts(id))
			if e := c.expectEntry(c.messagesTopic(id)); e.Type != parley.EntryAssigned {
				t.Errorf("the last entry is %s", e.Type)
			}
		})
	}
}

// A supervisor claims a conversation away: its agent gets nothing after that,
// and is told by an empty state.
func TestConversationThatIsTakenAwayStops(t *testing.T) {
	for name, exact := range map[string]bool{"membership": false, "exact": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			visitor, agent, boss := w.visitor(), w.agent("lilei"), w.staff("wanggang", parley.RoleSupervisor)
			id := w.conversation(visitor, 1)
			w.claim(agent, id)
			c, s := w.resume(t, agent, 5), w.connect(t, boss, 5)
			conversation := parley.Any
			if exact {
				conversation = id
			}
			c.follow(c.messagesTopic(conversation), c.stateTopic(conversation))
			s.follow(s.messagesTopic(parley.Any), s.stateTopic(parley.Any))
			c.expectState(id, func(s parley.State) bool { return s.Assignee != nil && s.Assignee.ID == agent.Identity.User })
			seen := draft()
			w.record(visitor, id, seen)
			c.expectTexts(id, []string{seen.ID})

			w.claim(boss, id)
			hidden := draft()
			w.record(visitor, id, hidden)
			s.expectTexts(id, w.texts(id))
			c.await("an empty state", func(pk packets.Packet) bool { return on(pk, c.stateTopic(id)) && len(pk.Payload) == 0 })
			w.marker(c)
			nothing := func() {
				t.Helper()
				c.expectNone("an entry after the loss", func(pk packets.Packet) bool { return on(pk, c.messagesTopic(id)) })
			}
			nothing()
			w.away(c)
			c = w.resume(t, agent, 5)
			w.marker(c)
			nothing()
			d := draft()
			if ack := c.ackOf(c.post(id, d)); ack.ReasonCode != 0x87 {
				t.Errorf("PUBACK %#x", ack.ReasonCode)
			}
		})
	}
}

// An agent who sees the queue hears that somebody else has claimed from it.
func TestQueueIsWatched(t *testing.T) {
	w := newWorld(t)
	visitor := w.visitor()
	waiting := w.conversation(visitor, 1)
	c := w.connect(t, w.agent("lilei"), 5)
	c.follow(c.stateTopic(parley.Any))
	first := c.expectState(waiting, func(s parley.State) bool { return s.Status == parley.StatusQueued })
	if !first.FixedHeader.Retain {
		t.Error("the answer to a SUBSCRIBE is not retained")
	}
	id := w.conversation(visitor, 1)
	live := c.expectState(id, func(s parley.State) bool { return s.Status == parley.StatusQueued && s.Head == 2 })
	if live.FixedHeader.Retain {
		t.Error("a change is retained")
	}
	w.claim(w.agent("hanmeimei"), id)
	c.await("an empty state", func(pk packets.Packet) bool { return on(pk, c.stateTopic(id)) && len(pk.Payload) == 0 })
	w.write(visitor, id, 1)
	w.marker(c)
	c.expectNone("a state of a colleague's conversation", func(pk packets.Packet) bool { return on(pk, c.stateTopic(id)) })
}

func TestUnsubscribedStateIsSilent(t *testing.T) {
	for name, exact := range map[string]bool{"membership": false, "exact": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			who := w.visitor()
			id := w.conversation(who, 1)
			c := w.connect(t, who, 5)
			filter := c.stateTopic(parley.Any)
			if exact {
				filter = c.stateTopic(id)
			}
			c.follow(filter)
			c.expectState(id, func(s parley.State) bool { return s.Head == 2 })
			c.unsubscribe(filter)
			w.write(who, id, 1)
			w.marker(c)
			c.expectNone("a state", func(pk packets.Packet) bool { return on(pk, c.stateTopic(id)) })
			c.follow(filter)
			c.expectState(id, func(s parley.State) bool { return s.Head == 3 })
		})
	}
}

// A visitor may subscribe to the id it has made. If somebody else opens a
// conversation with that id, nothing of it is delivered.
func TestConversationThatSomebodyElseOpens(t *testing.T) {
	w := newWorld(t)
	owner, guesser := w.visitor(), w.visitor()
	mine, theirs := parley.NewID(parley.PrefixConversation), parley.NewID(parley.PrefixConversation)
	c := w.resume(t, guesser, 5)
	c.follow(c.messagesTopic(mine), c.messagesTopic(theirs), c.stateTopic(mine), c.stateTopic(theirs))
	w.write(owner, theirs, 2)
	d := draft()
	c.expectAck(c.post(mine, d))
	c.expectTexts(mine, []string{d.ID})
	c.expectState(mine, func(s parley.State) bool { return s.Head == 2 })
	leak := func(pk packets.Packet) bool {
		return on(pk, c.messagesTopic(theirs)) || on(pk, c.stateTopic(theirs))
	}
	w.marker(c)
	c.expectNone("a leak", leak)
	w.away(c)
	w.write(owner, theirs, 1)
	c = w.resume(t, guesser, 5)
	w.marker(c)
	c.expectNone("a leak", leak)
}

// Re-subscribing while entries come in repeats none of them: the answer of the
// store may be older than what has been delivered.
func TestSubscribingAgainUnderLoad(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 0)
	c, writer := w.connect(t, who, 5), w.connect(t, w.again(who), 5)
	c.follow(c.messagesTopic(id), c.messagesTopic(parley.Any))
	all := drafts(400)
	for i, d := range all {
		ack := writer.post(id, d)
		if i%10 == 0 {
			c.follow(c.messagesTopic(id), c.messagesTopic(parley.Any))
		}
		writer.expectAck(ack)
	}
	c.expectTexts(id, idsOf(all))
	c.ping()
	c.expectNone("a repeat", func(pk packets.Packet) bool { return on(pk, c.messagesTopic(id)) })
}

// settled returns when the broker has been told of everything recorded so far.
func (w *world) settled(who parley.Credentials) {
	w.t.Helper()
	_, err := w.bridge.Conversations(w.t.Context(), who.Identity, parley.ConversationList{})
	must(w.t, err)
}

// A conversation is taken away while the agent's subscription is being started
// from a list that still has it.
func TestConversationThatIsTakenAwayMeanwhile(t *testing.T) {
	w := newWorld(t)
	visitor, agent, boss := w.visitor(), w.agent("lilei"), w.staff("wanggang", parley.RoleSupervisor)
	lost, kept := w.conversation(visitor, 1), w.conversation(visitor, 1)
	c := w.resume(t, agent, 5)
	c.followMessages()
	w.away(c)
	w.claim(agent, lost)
	w.claim(agent, kept)
	w.settled(agent) // else the claims are told to the connection, and the list does not matter
	w.store.afterListing(func() {
		w.claim(boss, lost)
		w.settled(boss)
	})
	c = w.resume(t, agent, 5)
	c.expectTexts(kept, w.texts(kept))
	w.write(visitor, lost, 1)
	w.marker(c)
	c.expectNone("a delivery of what was lost", func(pk packets.Packet) bool { return on(pk, c.messagesTopic(lost)) })
}

// The same with states: no ghost stays in the agent's queue.
func TestQueueChangesMeanwhile(t *testing.T) {
	w := newWorld(t)
	visitor, colleague := w.visitor(), w.agent("hanmeimei")
	taken, waiting := w.conversation(visitor, 1), w.conversation(visitor, 1)
	c := w.connect(t, w.agent("lilei"), 5)
	w.store.afterListing(func() {
		w.claim(colleague, taken)
		w.settled(colleague)
	})
	c.follow(c.stateTopic(parley.Any))
	c.expectState(waiting, func(s parley.State) bool { return s.Status == parley.StatusQueued })
	w.marker(c)
	c.expectNone("a state of what was taken", func(pk packets.Packet) bool { return on(pk, c.stateTopic(taken)) })
}

// A page sends its first message and subscribes in one go: it must not be told
// that the conversation is not its own.
func TestSubscribeBesideTheFirstMessage(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.visitor(), 5)
	for range 50 {
		id, d := parley.NewID(parley.PrefixConversation), draft()
		ack := c.post(id, d)
		c.follow(c.messagesTopic(id), c.stateTopic(id))
		c.expectAck(ack)
		c.expectState(id, func(s parley.State) bool { return s.Head == 2 })
		c.unsubscribe(c.messagesTopic(id), c.stateTopic(id))
	}
}

// An exact subscription stays granted when the right to read is lost, and goes
// on where it was when the right comes back.
func TestExactSubscriptionComesBackWithTheRight(t *testing.T) {
	for name, claimed := range map[string]bool{"in the queue": false, "claimed": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			visitor, agent, other := w.visitor(), w.agent("lilei"), w.agent("hanmeimei")
			id := w.conversation(visitor, 1)
			c := w.resume(t, agent, 5)
			c.follow(c.messagesTopic(id))
			seen := draft()
			w.record(visitor, id, seen)
			c.expectTexts(id, []string{seen.ID})
			c.ping() // behind the acknowledgement

			w.claim(other, id)
			w.write(visitor, id, 2)
			w.settled(visitor)
			w.marker(c)
			c.expectNone("an entry after the loss", func(pk packets.Packet) bool { return on(pk, c.messagesTopic(id)) })
			w.finish(other, id)
			w.write(visitor, id, 1) // reopens it
			if claimed {
				w.claim(agent, id)
			}
			w.write(visitor, id, 1)
			if e := c.expectEntry(c.messagesTopic(id)); e.Type != parley.EntryAssigned || e.Seq != 4 {
				t.Errorf("goes on with seq %d, %s", e.Seq, e.Type)
			}
			c.expectTexts(id, w.texts(id)[2:])
		})
	}
}

func TestExactSubscriptionThatIsGivenUpWithoutTheRight(t *testing.T) {
	w := newWorld(t)
	visitor, agent, other := w.visitor(), w.agent("lilei"), w.agent("hanmeimei")
	id := w.conversation(visitor, 1)
	c := w.resume(t, agent, 5)
	c.follow(c.messagesTopic(id))
	w.claim(other, id)
	w.settled(visitor)
	c.unsubscribe(c.messagesTopic(id))
	w.finish(other, id)
	w.write(visitor, id, 1) // reopens it
	w.settled(visitor)
	w.marker(c)
	c.expectNone("a delivery", func(pk packets.Packet) bool { return on(pk, c.messagesTopic(id)) })
	c.follow(c.messagesTopic(id)) // starts at the head again
	d := draft()
	w.record(visitor, id, d)
	if e := c.expectEntry(c.messagesTopic(id)); e.ID != d.ID {
		t.Errorf("seq %d is delivered", e.Seq)
	}
}

// While a second SUBSCRIBE is answered from a list, a newer state is delivered:
// the answer does not go back behind it.
func TestStateDoesNotGoBack(t *testing.T) {
	w := newWorld(t)
	visitor := w.visitor()
	id := w.conversation(visitor, 1)
	c := w.connect(t, visitor, 5)
	c.follow(c.stateTopic(parley.Any))
	c.expectState(id, func(s parley.State) bool { return s.Head == 2 })
	overtaken := make(chan struct{})
	w.store.afterListing(func() {
		defer close(overtaken)
		w.write(visitor, id, 1)
		w.settled(visitor)
		c.expectState(id, func(s parley.State) bool { return s.Head == 3 })
	})
	c.follow(c.stateTopic(parley.Any))
	<-overtaken
	var s parley.State
	answer := c.expectOn(c.stateTopic(id))
	must(t, json.Unmarshal(answer.Payload, &s))
	if s.Head != 3 || !answer.FixedHeader.Retain {
		t.Errorf("answered with head %d, retain %v", s.Head, answer.FixedHeader.Retain)
	}
}
