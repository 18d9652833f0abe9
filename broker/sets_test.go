package broker_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// set publishes a register and returns its packet identifier.
func (c *client) set(id, key, value string, basedOn int64) uint16 {
	c.t.Helper()
	topic := parley.Topic{Kind: parley.TopicSet, Site: c.who.Site, User: c.who.User}.String()
	return c.publish(topic, fmt.Appendf(nil, `{"id":%q,"key":%q,"value":%s,"basedOn":%d}`, id, key, value, basedOn))
}

// expectSet takes the next register among the user's events.
func (c *client) expectSet() (body parley.SetBody, version int64) {
	c.t.Helper()
	e := c.expectEntry(c.eventsTopic())
	must(c.t, json.Unmarshal(e.Body, &body))
	if e.Type != parley.EntrySet {
		c.t.Fatalf("event %+v", e)
	}
	return body, e.Seq
}

// What is set on one device reaches the user's others, those that are away too;
// who was slower is told what is there now.
func TestSetReachesEveryDevice(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		absent := w.agent("lilei")
		phone, pc, away := w.connect(t, w.agent("lilei"), version), w.connect(t, w.agent("lilei"), version), w.resume(t, absent, version)
		for _, c := range []*client{phone, pc, away} {
			c.follow(c.eventsTopic())
		}
		phone.follow(phone.errorsTopic())
		w.away(away)

		pc.expectAck(pc.set("set_00001", "draft:cnv_1", `"Dear"`, 0))
		for _, c := range []*client{phone, pc} {
			if body, seq := c.expectSet(); body.Key != "draft:cnv_1" || string(body.Value) != `"Dear"` || seq != 1 {
				t.Errorf("event %d %+v", seq, body)
			}
		}
		phone.ackOf(phone.set("set_00002", "draft:cnv_1", `"Hello"`, 0)) // did not know of the other one
		if r := phone.expectRefusal(); r.Code != parley.CodeStale || r.ID != "set_00002" || r.Retry || r.Current == nil ||
			r.Current.Version != 1 || string(r.Current.Value) != `"Dear"` {
			t.Errorf("refusal %+v", r)
		}
		phone.expectAck(phone.set("set_00003", "draft:cnv_1", `"Hello"`, 1))
		phone.expectAck(phone.set("set_00003", "draft:cnv_1", `"Hello"`, 1)) // once more changes nothing

		w.restart()
		again := w.resume(t, absent, version)
		for want, value := range []string{`"Dear"`, `"Hello"`} {
			if body, seq := again.expectSet(); string(body.Value) != value || seq != int64(want+1) {
				t.Errorf("event %d %+v, want %s", seq, body, value)
			}
		}
		again.expectNone("a third", func(pk packets.Packet) bool { return on(pk, again.eventsTopic()) })
	})
}

func TestRefusedSet(t *testing.T) {
	w := newWorld(t)
	who, other := w.visitor(), w.visitor()
	c := w.connect(t, who, 5)
	c.follow(c.errorsTopic())
	if ack := c.ackOf(c.set("set_00001", "Draft", `1`, 0)); ack.ReasonCode != packets.ErrPayloadFormatInvalid.Code {
		t.Errorf("PUBACK %#x", ack.ReasonCode)
	}
	if r := c.expectRefusal(); r.Code != parley.CodeInvalid || r.ID != "set_00001" {
		t.Errorf("refusal %+v", r)
	}
	foreign := parley.Topic{Kind: parley.TopicSet, Site: w.site.ID, User: other.Identity.User}.String()
	if ack := c.ackOf(c.publish(foreign, []byte(`{"id":"set_00002","key":"tabs","value":1,"basedOn":0}`))); ack.ReasonCode != packets.ErrNotAuthorized.Code {
		t.Errorf("PUBACK %#x", ack.ReasonCode)
	}
	if r := c.expectRefusal(); r.Code != parley.CodeForbidden || r.ID != "set_00002" {
		t.Errorf("refusal %+v", r)
	}
}

// What is typed as < takes one byte in every payload: a device that announces what
// the protocol page says gets the largest register, and its refusals.
func TestLargestSetFits(t *testing.T) {
	w := newWorld(t)
	who := w.agent("lilei")
	l := as(who, 5)
	l.mostBytes = 128 << 10
	c := w.connectWith(t, who, l)
	c.follow(c.eventsTopic(), c.errorsTopic())
	value := `"` + strings.Repeat("<", parley.MaxBodyBytes-2) + `"`
	c.expectAck(c.set("set_00001", "draft:cnv_1", value, 0))
	if body, _ := c.expectSet(); string(body.Value) != value {
		t.Errorf("a value of %d bytes came as one of %d", len(value), len(body.Value))
	}
	c.ackOf(c.set("set_00002", "draft:cnv_1", `"<"`, 0))
	if r := c.expectRefusal(); r.Current == nil || string(r.Current.Value) != value {
		t.Errorf("refusal %s", r.Code)
	}
}
