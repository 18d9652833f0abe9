package broker_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// subscribeAfter sends a SUBSCRIBE that says where it starts, and returns the
// codes.
func (c *client) subscribeAfter(after string, filters ...string) []byte {
	c.t.Helper()
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, ProtocolVersion: 5, PacketID: c.nextID(),
		Properties: packets.Properties{User: []packets.UserProperty{{Key: "after", Val: after}}},
	}
	for _, f := range filters {
		pk.Filters = append(pk.Filters, packets.Subscription{Filter: f, Qos: 1})
	}
	c.send(pk)
	return c.await("SUBACK", func(in packets.Packet) bool {
		return in.FixedHeader.Type == packets.Suback && in.PacketID == pk.PacketID
	}).ReasonCodes
}

// A client that knows what it has says where its subscription starts.
func TestSubscribeAfter(t *testing.T) {
	for _, live := range []bool{false, true} {
		for name, test := range map[string]struct {
			after string // %s is the epoch
			from  int    // the first text that is delivered
		}{
			"a seq":           {"%s:3", 2}, // seq 1 is the opening
			"the first":       {"%s:0", 0},
			"the head":        {"%s:6", 5},
			"0":               {"0", 0},
			"beyond the head": {"%s:7", 0},
			"another epoch":   {"epo_other:3", 0},
		} {
			t.Run(fmt.Sprintf("%s, live %t", name, live), func(t *testing.T) {
				w := newWorld(t)
				who := w.visitor()
				id := w.conversation(who, 5)
				c := w.resume(t, who, 5)
				if live {
					w.followed(who, id, 6) // else it starts with what is not followed yet
					c.follow(c.messagesTopic(id))
				}
				after := test.after
				if after[0] == '%' {
					after = fmt.Sprintf(after, w.store.Epoch())
				}
				if codes := c.subscribeAfter(after, c.messagesTopic(id)); codes[0] != 1 {
					t.Fatalf("SUBACK %#x", codes)
				}
				w.write(who, id, 1)
				want := w.texts(id)[test.from:]
				c.expectTexts(id, want)
				c.ping() // behind its acknowledgements
				w.away(c)
				w.write(who, id, 1)
				c = w.resume(t, who, 5)
				c.expectTexts(id, w.texts(id)[6:])
			})
		}
	}
}

// followed waits until the server has folded a conversation up to seq.
func (w *world) followed(who parley.Credentials, conversation string, seq int64) {
	w.t.Helper()
	await(w.t, func() string {
		c, err := w.bridge.Conversation(context.Background(), who.Identity, conversation)
		must(w.t, err)
		if c.Head < seq {
			return fmt.Sprintf("followed up to %d, want %d", c.Head, seq)
		}
		return ""
	})
}

// Everything of all one's conversations comes again from the first entry.
func TestSubscribeToAllAnew(t *testing.T) {
	for name, first := range map[string]bool{"first subscription": true, "again": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			who := w.visitor()
			one, two := w.conversation(who, 2), w.conversation(who, 3)
			c := w.resume(t, who, 5)
			if !first {
				c.followMessages()
				w.write(who, one, 1)
				c.expectTexts(one, w.texts(one)[2:])
				c.ping()
			}
			c.hold(true)
			if codes := c.subscribeAfter("0", c.messagesTopic(parley.Any)); codes[0] != 1 {
				t.Fatalf("SUBACK %#x", codes)
			}
			w.age()
			w.away(c) // perhaps before all of it was acknowledged
			c = w.resume(t, who, 5)
			c.expectAtLeast(one, w.texts(one))
			c.expectAtLeast(two, w.texts(two))
		})
	}
}

func TestBadStartIsRefused(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 2)
	c := w.connect(t, who, 5)
	own := c.messagesTopic(id)
	for after, filters := range map[string][]string{
		"":                           {own},
		"3":                          {own},
		"epo_x:":                     {own},
		"epo_x:-1":                   {own},
		"epo x:1":                    {own},
		"epo_x:99999999999999999999": {own},
		"epo_x:1":                    {c.messagesTopic(parley.Any)},
		"0":                          {own, c.stateTopic(id)},
		"0 ":                         {own},
	} {
		for _, code := range c.subscribeAfter(after, filters...) {
			if code != packets.ErrImplementationSpecificError.Code {
				t.Errorf("after=%q: SUBACK %#x", after, code)
			}
		}
	}
	if codes := c.subscribeAfter("0", c.stateTopic(id)); codes[0] != packets.ErrImplementationSpecificError.Code {
		t.Errorf("after=0 on a state: SUBACK %#x", codes)
	}
	w.marker(c)
	c.expectNone("a delivery", func(pk packets.Packet) bool { return on(pk, own) })
}
