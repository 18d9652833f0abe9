package broker_test

import (
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// Who loses a conversation gets none of the notes that come after; who has it now
// gets all of them from the first.
func TestNotesFollowTheRight(t *testing.T) {
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
			c.follow(c.notesTopic(conversation))
			s.follow(s.notesTopic(parley.Any))
			seen := w.jot(agent, id, 2)
			c.expectNotes(id, 1, seen)
			c.ping()

			w.claim(boss, id)
			hidden := w.jot(boss, id, 2)
			s.expectNotes(id, 1, append(seen, hidden...))
			w.marker(c)
			c.expectNoNote("a note after the loss")
			if ack := c.ackOf(c.note(id, draft())); ack.ReasonCode != 0x87 {
				t.Errorf("PUBACK %#x", ack.ReasonCode)
			}
			w.away(c)
			c = w.resume(t, agent, 5)
			w.marker(c)
			c.expectNoNote("a note after the loss")
			if exact {
				return // the subscription has been dropped
			}
			w.finish(boss, id)
			w.write(visitor, id, 1) // reopens it
			w.claim(agent, id)
			c.expectNotes(id, 3, hidden) // goes on where it was
			c.expectNotes(id, 5, w.jot(agent, id, 1))
		})
	}
}

// An exact subscription waits for the right to come back.
func TestExactNotesComeBackWithTheRight(t *testing.T) {
	w := newWorld(t)
	visitor, agent, other := w.visitor(), w.agent("lilei"), w.agent("hanmeimei")
	id := w.conversation(visitor, 1)
	c := w.resume(t, agent, 5)
	c.follow(c.notesTopic(id)) // in the queue
	c.expectNotes(id, 1, w.jot(agent, id, 1))
	c.ping()
	w.claim(other, id)
	missed := w.jot(other, id, 2)
	w.settled(visitor)
	w.marker(c)
	c.expectNoNote("a note after the loss")
	w.finish(other, id)
	w.write(visitor, id, 1) // reopens it
	c.expectNotes(id, 2, missed)
}

// A repeat of a note is answered with its position even when its author may no
// longer write.
func TestRepeatOfANoteAfterTheLossOfTheRight(t *testing.T) {
	w := newWorld(t)
	visitor, agent, other := w.visitor(), w.agent("lilei"), w.agent("hanmeimei")
	id, d := w.conversation(visitor, 1), draft()
	c := w.connect(t, agent, 5)
	c.expectAck(c.note(id, d))
	w.claim(other, id)
	ack := c.expectAck(c.note(id, d))
	if userProperty(ack, "seq") != "1" || userProperty(ack, "duplicate") != "1" {
		t.Errorf("PUBACK of a repeat %v", ack.Properties.User)
	}
	for name, d := range map[string]parley.Draft{"another text": parley.NewText(d.ID, "another text"), "a new one": draft()} {
		if ack := c.ackOf(c.note(id, d)); ack.ReasonCode != 0x87 {
			t.Errorf("%s: PUBACK %#x", name, ack.ReasonCode)
		}
	}
}

// Two membership filters, of messages and of notes, are unsubscribed in turn: the
// one that stays goes on where it was, also for a device that was away meanwhile.
func TestMembershipFiltersAreIndependent(t *testing.T) {
	for name, notesFirst := range map[string]bool{"notes first": true, "messages first": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			visitor, agent := w.visitor(), w.agent("lilei")
			id := w.conversation(visitor, 3)
			w.claim(agent, id)
			w.jot(agent, id, 3)
			c := w.resume(t, agent, 5)
			both := []string{c.messagesTopic(parley.Any), c.notesTopic(parley.Any)}
			c.follow(both...)
			next := int64(4) // of the notes
			step := func(messages, notes bool) {
				t.Helper()
				before := len(w.texts(id))
				jotted := w.jot(agent, id, 2)
				w.write(visitor, id, 2)
				if messages {
					c.expectTexts(id, w.texts(id)[before:])
				}
				if notes {
					c.expectNotes(id, next, jotted)
				}
				next += 2
				w.marker(c)
				if !notes {
					c.expectNoNote("a note that is not subscribed")
				}
			}
			back := func() {
				t.Helper()
				await(t, func() string { return w.following(agent) })
				w.away(c)
				c = w.resume(t, agent, 5)
			}
			step(true, true)
			back()
			gone, stays := both[0], both[1]
			if notesFirst {
				gone, stays = stays, gone
			}
			c.unsubscribe(gone)
			step(stays == both[0], stays == both[1])
			back()
			step(stays == both[0], stays == both[1])
			c.follow(gone) // starts at the head again
			step(true, true)
			c.unsubscribe(both[0])
			c.unsubscribe(both[1])
			streams := []parley.Stream{parley.MessagesOf(w.site.ID, id), parley.NotesOf(w.site.ID, id)}
			kept, err := w.store.Cursors(t.Context(), agent.Identity.DeviceKey(), streams)
			if err != nil || len(kept) > 0 {
				t.Errorf("cursors that are left: %v, %v", kept, err)
			}
		})
	}
}

// Unsubscribing one kind keeps the positions of the other, those of conversations
// that have not changed for long included.
func TestUnsubscribeKeepsTheOtherKind(t *testing.T) {
	w := newWorld(t)
	visitor, agent := w.visitor(), w.agent("lilei")
	var ids []string
	for range 10 {
		id := w.conversation(visitor, 2)
		w.claim(agent, id)
		w.jot(agent, id, 2)
		ids = append(ids, id)
	}
	c := w.resume(t, agent, 5)
	c.follow(c.messagesTopic(parley.Any), c.notesTopic(parley.Any), c.notesTopic(ids[0]))
	await(t, func() string { return w.following(agent) })
	w.age()
	w.away(c)
	c = w.resume(t, agent, 5)
	c.unsubscribe(c.messagesTopic(parley.Any))
	w.age()
	w.away(c)
	c = w.resume(t, agent, 5)
	for _, id := range ids {
		c.expectNotes(id, 3, w.jot(agent, id, 1))
	}
	c.unsubscribe(c.notesTopic(parley.Any))
	c.expectNotes(ids[0], 4, w.jot(agent, ids[0], 1)) // by its own topic
	w.jot(agent, ids[1], 1)
	w.marker(c)
	c.expectNoNote("a note of what is not subscribed")
}

// The same for a session that is not kept: all that is known of its positions is
// in memory.
func TestUnsubscribeKeepsTheOtherKindInMemory(t *testing.T) {
	w := newWorld(t)
	visitor, agent := w.visitor(), w.agent("lilei")
	one, two := w.conversation(visitor, 2), w.conversation(visitor, 2)
	for _, id := range []string{one, two} {
		w.claim(agent, id)
		w.jot(agent, id, 2)
	}
	c := w.connect(t, agent, 5)
	c.follow(c.messagesTopic(parley.Any), c.notesTopic(parley.Any))
	c.unsubscribe(c.messagesTopic(parley.Any))
	c.expectNotes(one, 3, w.jot(agent, one, 1))
	c.follow(c.messagesTopic(parley.Any))
	c.unsubscribe(c.notesTopic(parley.Any))
	before := len(w.texts(two))
	w.write(visitor, two, 1)
	c.expectTexts(two, w.texts(two)[before:])
}

// UNSUBSCRIBE right after coming back stops what is only just being started:
// nothing comes again from the first entry, whose position has been forgotten.
func TestUnsubscribeBesideResume(t *testing.T) {
	w := newWorld(t)
	visitor, agent := w.visitor(), w.agent("lilei")
	id := w.conversation(visitor, 3)
	w.claim(agent, id)
	w.jot(agent, id, 3)
	for range 20 {
		c := w.resume(t, agent, 5)
		filters := []string{c.messagesTopic(parley.Any), c.notesTopic(parley.Any), c.notesTopic(id)}
		c.follow(filters...)
		await(t, func() string { return w.following(agent) })
		w.away(c)
		w.jot(agent, id, 1)
		w.write(visitor, id, 1)
		c = w.resume(t, agent, 5)
		c.unsubscribe(filters...)
		w.marker(c)
		c.expectNone("the first entry", func(pk packets.Packet) bool {
			e, _, err := parley.DecodeEntry("", pk.Payload)
			return pk.FixedHeader.Type == packets.Publish && pk.TopicName != c.errorsTopic() && (err != nil || e.Seq == 1)
		})
		w.away(c)
	}
}

// A client that says where it starts may say so for notes.
func TestSubscribeToNotesAfter(t *testing.T) {
	w := newWorld(t)
	visitor, agent := w.visitor(), w.agent("lilei")
	one, two := w.conversation(visitor, 1), w.conversation(visitor, 1)
	w.claim(agent, one)
	w.claim(agent, two)
	first, second := w.jot(agent, one, 4), w.jot(agent, two, 2)
	c := w.resume(t, agent, 5)
	for _, test := range []struct {
		after string
		from  int64
	}{{w.store.Epoch() + ":2", 2}, {w.store.Epoch() + ":9", 0}, {"epo_other:2", 0}, {"0", 0}} {
		if codes := c.subscribeAfter(test.after, c.notesTopic(one)); codes[0] != 1 {
			t.Fatalf("after=%s: SUBACK %#x", test.after, codes)
		}
		c.expectNotes(one, test.from+1, first[test.from:])
	}
	c.unsubscribe(c.notesTopic(one))
	c.follow(c.notesTopic(parley.Any), c.messagesTopic(parley.Any))
	if codes := c.subscribeAfter("0", c.notesTopic(parley.Any)); codes[0] != 1 {
		t.Fatalf("SUBACK %#x", codes)
	}
	c.expectNotes(one, 1, first)
	c.expectNotes(two, 1, second)
	w.write(visitor, one, 1)
	c.expectTexts(one, w.texts(one)[1:])
	if codes := c.subscribeAfter(w.store.Epoch()+":1", c.notesTopic(parley.Any)); codes[0] != packets.ErrImplementationSpecificError.Code {
		t.Errorf("a seq with a membership filter: SUBACK %#x", codes)
	}
}
