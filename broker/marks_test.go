package broker_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// mark publishes a mark and returns its packet identifier.
func (c *client) mark(conversation, payload string) uint16 {
	c.t.Helper()
	return c.publish(parley.ConversationTopic(parley.TopicMarks, c.who.Site, conversation).String(), []byte(payload))
}

func (c *client) eventsTopic() string {
	return parley.EventsOf(c.who.Site, c.who.User).Topic()
}

// expectMarked takes the next mark among the user's events.
func (c *client) expectMarked() parley.MarkedBody {
	c.t.Helper()
	e := c.expectEntry(c.eventsTopic())
	var body parley.MarkedBody
	must(c.t, json.Unmarshal(e.Body, &body))
	if e.Type != parley.EntryMarked {
		c.t.Fatalf("event %+v", e)
	}
	return body
}

// readBy tells how far the responsible agent has read, and how far user has.
func readBy(user string, agents, read int64) func(parley.State) bool {
	return func(s parley.State) bool {
		for _, m := range s.Marks {
			if m.User == user {
				return s.AgentRead == agents && m.Read == read
			}
		}
		return s.AgentRead == agents && read == 0
	}
}

// What is read on one device is read on the user's others, those of other people
// see it in the state, and who was away learns of it.
func TestMarkReachesEveryDevice(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		visitor, agent := w.visitor(), w.agent("lilei")
		id := w.conversation(visitor, 3)
		w.claim(agent, id) // seq 5
		absent := w.agent("lilei")
		phone, pc, away := w.resume(t, agent, version), w.connect(t, w.agent("lilei"), version), w.resume(t, absent, version)
		for _, c := range []*client{phone, pc, away} {
			c.follow(c.eventsTopic(), c.stateTopic(parley.Any))
			c.expectState(id, readBy(agent.Identity.User, 0, 0))
		}
		away.ping() // behind the acknowledgements
		w.away(away)
		page := w.connect(t, visitor, version)
		page.follow(page.stateTopic(parley.Any))

		phone.expectAck(phone.mark(id, `{"delivered":5,"read":3}`))
		for _, c := range []*client{phone, pc} {
			if m := c.expectMarked(); m.Conversation != id || m.Read != 3 || m.Delivered != 5 || m.Count != 2 || !m.Responsible {
				t.Errorf("event %+v", m)
			}
			c.expectState(id, readBy(agent.Identity.User, 3, 3))
		}
		page.expectState(id, readBy(visitor.Identity.User, 3, 4)) // the visitor's own: what was sent last

		w.restart()
		again := w.resume(t, absent, version)
		if m := again.expectMarked(); m.Read != 3 {
			t.Errorf("event %+v", m)
		}
		again.expectState(id, readBy(agent.Identity.User, 3, 3))
	})
}

// Marks that come together are stored together; each is acknowledged.
func TestManyMarksAtOnce(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		id := w.conversation(who, 40)
		c := w.connect(t, who, version)
		var sent []uint16
		for n := range 40 {
			sent = append(sent, c.mark(id, fmt.Sprintf(`{"delivered":%d}`, 41-n%7)))
		}
		for _, packet := range sent {
			c.expectAck(packet)
		}
		events, err := w.store.Read(t.Context(), parley.EventsOf(w.site.ID, who.Identity.User), 0, 100)
		must(t, err)
		if len(events) > 7 {
			t.Errorf("%d marks have become %d entries", len(sent), len(events))
		}
	})
}

// A mark that is refused spoils none of those beside it, and is told as other
// refusals are.
func TestRefusedMark(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id, foreign := w.conversation(who, 5), w.conversation(w.visitor(), 1)
	c := w.connect(t, who, 5)
	c.follow(c.errorsTopic(), c.eventsTopic())
	for _, packet := range []uint16{c.mark(id, `{"delivered":7,"read":7}`), c.mark(id, `{"read":8}`), c.mark(id, `{"read":"all"}`)} {
		if ack := c.ackOf(packet); ack.ReasonCode != packets.ErrPayloadFormatInvalid.Code {
			t.Errorf("PUBACK %#x", ack.ReasonCode)
		}
		if r := c.expectRefusal(); r.Code != parley.CodeInvalid || r.Retry || r.ID != "" {
			t.Errorf("refusal %+v", r)
		}
	}
	first, second := c.mark(id, `{"delivered":9}`), c.mark(id, `{"delivered":6}`)
	if ack := c.ackOf(first); ack.ReasonCode != packets.ErrPayloadFormatInvalid.Code {
		t.Errorf("PUBACK %#x", ack.ReasonCode)
	}
	c.expectAck(second)
	stranger := c.ackOf(c.mark(foreign, `{"delivered":1}`))
	if stranger.ReasonCode != packets.ErrNotAuthorized.Code {
		t.Errorf("PUBACK %#x", stranger.ReasonCode)
	}
}
