package broker_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

func (c *client) notesTopic(conversation string) string {
	return parley.ConversationTopic(parley.TopicNotes, c.who.Site, conversation).String()
}

// note sends a note at QoS 1 and returns its packet identifier.
func (c *client) note(conversation string, d parley.Draft) uint16 {
	c.t.Helper()
	topic := parley.ConversationTopic(parley.TopicNotesSend, c.who.Site, conversation).String()
	return c.publish(topic, payloadOf(d))
}

// expectNotes takes deliveries until the notes with these ids have come, in this
// order, from seq on and without holes.
func (c *client) expectNotes(conversation string, seq int64, ids []string) {
	c.t.Helper()
	for _, id := range ids {
		e := c.expectEntry(c.notesTopic(conversation))
		if e.Seq != seq || e.ID != id || e.Type != parley.EntryText {
			c.t.Fatalf("seq %d is %s, want seq %d, %s", e.Seq, e.ID, seq, id)
		}
		seq++
	}
}

func (c *client) expectNoNote(what string) {
	c.t.Helper()
	c.expectNone(what, func(pk packets.Packet) bool {
		t, err := parley.ParseTopic(pk.TopicName)
		return pk.FixedHeader.Type == packets.Publish && err == nil && t.Kind == parley.TopicNotes
	})
}

// jot records n notes without MQTT, and returns their ids.
func (w *world) jot(who parley.Credentials, conversation string, n int) []string {
	w.t.Helper()
	all := drafts(n)
	answers, err := w.bridge.Note(context.Background(), who.Identity, conversation, all)
	must(w.t, err)
	for _, a := range answers {
		must(w.t, a.Err)
	}
	return idsOf(all)
}

func (w *world) notesOf(conversation string) []string {
	w.t.Helper()
	return textIDs(w.streamOf(parley.NotesOf(w.site.ID, conversation)))
}

// Notes reach every device of the responsible agent and who opened the
// conversation, in one order, and leave the conversation as it is.
func TestNotes(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		visitor, boss := w.visitor(), w.staff("wanggang", parley.RoleSupervisor)
		id := w.conversation(visitor, 1)
		phone, pc := w.connect(t, w.agent("lilei"), version), w.connect(t, w.agent("lilei"), version)
		w.claim(w.agent("lilei"), id)
		b := w.connect(t, boss, version)
		b.follow(b.notesTopic(id))
		for _, c := range []*client{phone, pc} {
			c.follow(c.notesTopic(parley.Any))
		}
		before, err := w.bridge.Conversation(t.Context(), boss.Identity, id)
		must(t, err)
		all := drafts(6)
		for i, d := range all {
			from := []*client{phone, pc, b}[i%3]
			ack := from.expectAck(from.note(id, d))
			if version == 5 && userProperty(ack, "epoch") != w.store.Epoch() {
				t.Errorf("PUBACK %v", ack.Properties.User)
			}
		}
		again := b.expectAck(b.note(id, all[2]))
		if version == 5 && (userProperty(again, "seq") != "3" || userProperty(again, "duplicate") != "1") {
			t.Errorf("PUBACK of a repeat %v", again.Properties.User)
		}
		for _, c := range []*client{phone, pc, b} {
			c.expectNotes(id, 1, idsOf(all))
		}
		after, err := w.bridge.Conversation(t.Context(), boss.Identity, id)
		must(t, err)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("the conversation has changed:\n%s", diff)
		}
	})
}

// Bad notes are refused as bad messages are.
func TestBadNotesAreRefused(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		agent := w.agent("lilei")
		id := w.conversation(w.visitor(), 1)
		c := w.connect(t, agent, version)
		c.follow(c.errorsTopic())
		topic := parley.ConversationTopic(parley.TopicNotesSend, w.site.ID, id).String()
		for _, bad := range badPublishes() {
			pk := publish(topic, c.nextID(), []byte(bad.payload))
			if bad.change != nil {
				bad.change(&pk)
			}
			c.send(pk)
			if pk.FixedHeader.Qos > 0 {
				if ack := c.ackOf(pk.PacketID); version == 5 && ack.ReasonCode != bad.reason {
					t.Errorf("%s: PUBACK %#x, want %#x", bad.name, ack.ReasonCode, bad.reason)
				}
			}
			r := c.expectRefusal()
			r.Message = ""
			if diff := cmp.Diff(refusal{ID: bad.id, Topic: topic, Code: bad.code}, r); diff != "" {
				t.Errorf("%s: %s", bad.name, diff)
			}
		}
		d := draft()
		c.expectAck(c.note(id, d))
		if ack := c.ackOf(c.note(id, parley.NewText(d.ID, "another text"))); version == 5 && ack.ReasonCode != 0x83 {
			t.Errorf("the same id with another text: PUBACK %#x", ack.ReasonCode)
		}
		if diff := cmp.Diff([]string{d.ID}, w.notesOf(id)); diff != "" {
			t.Errorf("notes stored:\n%s", diff)
		}
	})
}

// Whoever may not write notes is told so, the same whether or not there are any.
func TestNotesAreForStaffWhoMayRead(t *testing.T) {
	w := newWorld(t)
	visitor, agent, colleague := w.visitor(), w.agent("lilei"), w.agent("hanmeimei")
	queued, taken, closed := w.conversation(visitor, 1), w.conversation(visitor, 1), w.conversation(visitor, 1)
	w.claim(colleague, taken)
	w.claim(agent, closed)
	w.finish(agent, closed)
	w.jot(colleague, taken, 1)
	for _, test := range []struct {
		name, conversation string
		who                parley.Credentials
		code               parley.Code
	}{
		{"the visitor", queued, visitor, parley.CodeForbidden},
		{"the visitor, where there are notes", taken, visitor, parley.CodeForbidden},
		{"the visitor, where there is nothing", "cnv_none", visitor, parley.CodeForbidden},
		{"an agent in the queue", queued, agent, ""},
		{"an agent in a colleague's", taken, agent, parley.CodeNotFound},
		{"an agent in what is closed", closed, agent, ""},
		{"a colleague in what is closed", closed, colleague, parley.CodeNotFound},
		{"an agent in what does not exist", "cnv_none", agent, parley.CodeNotFound},
		{"a supervisor", taken, w.staff("wanggang", parley.RoleSupervisor), ""},
		{"another site", queued, w.visitorOf(w.other, ""), parley.CodeForbidden},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := w.connect(t, test.who, 5)
			c.follow(c.errorsTopic())
			d := draft()
			topic := parley.ConversationTopic(parley.TopicNotesSend, w.site.ID, test.conversation).String()
			ack := c.ackOf(c.publish(topic, payloadOf(d)))
			if got := parley.Code(userProperty(ack, "code")); got != test.code {
				t.Fatalf("PUBACK %#x, %s, want %q", ack.ReasonCode, got, test.code)
			}
			if test.code != "" {
				if r := c.expectRefusal(); r.ID != d.ID || r.Code != test.code {
					t.Errorf("refusal %+v", r)
				}
			}
		})
	}
	if n := len(w.notesOf(queued)) + len(w.notesOf(closed)); n != 2 {
		t.Errorf("%d notes stored, want 2", n)
	}
	if c, err := w.bridge.Conversation(t.Context(), agent.Identity, closed); err != nil || c.Status != parley.StatusClosed {
		t.Errorf("after a note the closed conversation is %s, %v", c.Status, err)
	}
}

// A visitor learns nothing of notes, also not when coming back.
func TestVisitorsLearnNothingOfNotes(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		visitor, agent := w.visitor(), w.agent("lilei")
		first, second := w.conversation(visitor, 1), w.conversation(visitor, 1)
		w.claim(agent, first)
		w.claim(agent, second)
		c := w.resume(t, visitor, version)
		c.follow(c.stateTopic(parley.Any), c.messagesTopic(parley.Any))
		for _, id := range []string{first, second} {
			c.expectState(id, func(s parley.State) bool { return s.Status == parley.StatusOpen })
		}
		before, err := w.bridge.Conversations(t.Context(), visitor.Identity, parley.ConversationList{})
		must(t, err)
		w.marker(c)
		w.later.Add(1e12) // a note would be the newest of all
		w.jot(agent, first, 3)
		nothing := func(what string) {
			t.Helper()
			w.marker(c)
			c.expectNone(what, func(pk packets.Packet) bool {
				return pk.FixedHeader.Type == packets.Publish && pk.TopicName != c.errorsTopic()
			})
		}
		nothing("something told of a note")
		after, err := w.bridge.Conversations(t.Context(), visitor.Identity, parley.ConversationList{})
		must(t, err)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("the visitor's list has changed:\n%s", diff)
		}
		await(t, func() string { return w.following(visitor) })
		w.away(c)
		w.age()
		w.jot(agent, second, 1)
		c = w.resume(t, visitor, version)
		nothing("something told of a note after coming back")
	})
}

func TestResumeDeliversNotesThatWereMissed(t *testing.T) {
	for name, restart := range map[string]bool{"reconnect": false, "restart": true} {
		t.Run(name, func(t *testing.T) {
			versions(t, func(t *testing.T, version byte) {
				w := newWorld(t)
				visitor, agent := w.visitor(), w.agent("lilei")
				one, two := w.conversation(visitor, 1), w.conversation(visitor, 1)
				w.claim(agent, one)
				w.claim(agent, two)
				w.jot(agent, one, 3)
				c := w.resume(t, agent, version)
				c.follow(c.notesTopic(parley.Any))
				c.expectNotes(one, 4, w.jot(agent, one, 1)) // not the three from before
				c.ping()
				w.away(c)

				three := w.conversation(visitor, 1)
				missed := append(w.jot(agent, one, 140), w.jot(agent, one, 10)...)
				first := w.jot(agent, two, 2)
				joined := w.jot(agent, three, 2) // before it is claimed
				w.claim(agent, three)
				if restart {
					w.restart()
				}
				c = w.resume(t, agent, version)
				c.expectNotes(one, 5, missed)
				c.expectNotes(two, 1, first)
				c.expectNotes(three, 1, joined)
				c.expectNotes(three, 3, w.jot(agent, three, 1))
				c.ping()
				c.expectNoNote("a repeat")
			})
		})
	}
}

// A device that comes back costs the notes that have changed; those that have not
// go on where they were.
func TestNotesCostWhatHasChanged(t *testing.T) {
	w := newWorld(t)
	visitor, agent := w.visitor(), w.agent("lilei")
	const all, changed = 40, 3
	var ids []string
	for range all {
		id := w.conversation(visitor, 1)
		w.claim(agent, id)
		w.jot(agent, id, 2)
		ids = append(ids, id)
	}
	c := w.resume(t, agent, 5)
	c.follow(c.notesTopic(parley.Any), c.messagesTopic(parley.Any))
	await(t, func() string { return w.following(agent) })
	w.age()
	w.away(c)
	missed := map[string][]string{}
	for _, id := range ids[:changed] {
		missed[id] = w.jot(agent, id, 2)
	}
	w.write(visitor, ids[changed], 1)
	w.store.asked.Store(0)
	c = w.resume(t, agent, 5)
	for id, notes := range missed {
		c.expectNotes(id, 3, notes)
	}
	c.expectTexts(ids[changed], w.texts(ids[changed])[1:])
	await(t, func() string { return w.following(agent) })
	if n := w.store.asked.Load(); n != changed+1 {
		t.Errorf("%d positions were read for %d streams that changed", n, changed+1)
	}
	if n := w.broker.Sources(agent.Identity.DeviceKey()); n != changed+1 {
		t.Errorf("%d streams are held", n)
	}
	c.expectNotes(ids[all-1], 3, w.jot(agent, ids[all-1], 1))
}

// What was not acknowledged before the device left is owed, however long ago.
func TestNotesThatAreOwedStayOwed(t *testing.T) {
	w := newWorld(t)
	visitor, agent := w.visitor(), w.agent("lilei")
	owed, other := w.conversation(visitor, 1), w.conversation(visitor, 1)
	w.claim(agent, owed)
	w.claim(agent, other)
	c := w.resume(t, agent, 5)
	c.follow(c.notesTopic(parley.Any), c.messagesTopic(parley.Any))
	await(t, func() string { return w.following(agent) })
	c.hold(true)
	notes := w.jot(agent, owed, 3)
	c.expectNotes(owed, 1, notes)
	w.age()
	w.away(c)
	l := as(agent, 5).persistent()
	l.hold = true
	c = w.connectWith(t, agent, l)
	c.expectNotes(owed, 1, notes)
	w.write(visitor, other, 1)
	w.age()
	w.away(c)
	c = w.resume(t, agent, 5)
	c.expectNotes(owed, 1, notes)
}
