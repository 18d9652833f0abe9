package broker_test

import (
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// The rules of delivery that several rooms share, each with a test of its name:
// what is promised at the border between two connections, and nowhere else shown.

// Refusals: a final no is durable on errors before its PUBACK; what fails for a
// moment is never acknowledged.
func TestRuleRefusals(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		c := w.resume(t, who, version)
		c.follow(c.errorsTopic())
		c.hold(true)
		w.store.hang()
		id := c.publish(c.sendTopic(parley.NewID(parley.PrefixConversation)), []byte(`{"id":"msg_00000001","type":"poem"}`))
		awaitCount(t, "writes that hang", 1, w.store.hanging.Load)
		c.expectNone("a PUBACK before the refusal is durable", func(pk packets.Packet) bool { return pk.FixedHeader.Type == packets.Puback })
		w.store.repair()
		c.ackOf(id)
		w.away(c)
		w.restart()
		c = w.resume(t, who, version)
		if e := c.expectEntry(c.errorsTopic()); e.Type != parley.EntryRefusal {
			t.Errorf("errors told %+v", e)
		}
	})
}

// Generation fence: what an older connection of a device has to say about its
// cursors, however late, moves nothing for its successor.
func TestRuleGenerationFence(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 1)
	older := w.resume(t, who, 5)
	older.followMessages()
	w.store.hangCursors.Store(true)
	w.write(who, id, 3)
	older.expectTexts(id, w.texts(id)[1:])
	older.ping() // behind its acknowledgements
	await(t, func() string {
		if len(w.store.lateSaves()) == 0 {
			return "the older one has saved nothing yet"
		}
		return ""
	})

	l := as(who, 5).persistent()
	l.clean, l.hold = true, true // forgets the older session, cursors included
	newer := w.connectWith(t, who, l)
	if codes := newer.subscribeAfter("0", newer.messagesTopic(id)); codes[0] != 1 {
		t.Fatalf("SUBACK %#x", codes)
	}
	newer.expectTexts(id, w.texts(id)[:1])
	w.store.hangCursors.Store(false)
	must(t, w.store.Store.SaveCursors(t.Context(), w.store.lateSaves()))
	w.away(newer)
	newer = w.resume(t, who, 5)
	newer.expectTexts(id, w.texts(id)) // nothing of it is acknowledged
}

// Redelivery has fresh packet identifiers, without the DUP flag: an acknowledgement
// that belongs to an earlier connection acknowledges nothing.
func TestRuleRedelivery(t *testing.T) {
	for name, takeover := range map[string]bool{"reconnect": false, "takeover": true} {
		t.Run(name, func(t *testing.T) {
			versions(t, func(t *testing.T, version byte) {
				w := newWorld(t)
				who := w.visitor()
				id := w.conversation(who, 1)
				c := w.resume(t, who, version)
				c.followMessages()
				c.hold(true)
				w.write(who, id, 5)
				var late []uint16
				for range 5 {
					late = append(late, c.expectOn(c.messagesTopic(id)).PacketID)
				}
				for range 3 {
					if !takeover {
						w.away(c)
					}
					l := as(who, version).persistent()
					l.hold = true
					c = w.connectWith(t, who, l)
					for range 5 {
						pk := c.expectOn(c.messagesTopic(id))
						if pk.FixedHeader.Dup {
							t.Error("the DUP flag is set")
						}
						for _, old := range late {
							if pk.PacketID == old {
								t.Fatalf("identifier %d is used again", old)
							}
						}
						c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: late[0]})
						late = append(late[1:], pk.PacketID)
					}
					c.ping()
				}
				w.away(c)
				c = w.resume(t, who, version)
				c.expectTexts(id, w.texts(id)[1:])
			})
		})
	}
}

// State is the latest value: one in flight for each topic, however often it
// changes meanwhile.
func TestRuleStateIsTheLatestValue(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 1)
	l := as(who, 5)
	l.hold = true
	c := w.connectWith(t, who, l)
	c.follow(c.stateTopic(id))
	first := c.expectOn(c.stateTopic(id))
	w.write(who, id, 20)
	head := w.stored(id)[len(w.stored(id))-1].Seq
	c.ping()
	c.expectNone("a second state in flight", func(pk packets.Packet) bool { return on(pk, c.stateTopic(id)) })
	await(t, func() string {
		if w.broker.Position() < w.stored(id)[head-1].At {
			return "not followed"
		}
		return ""
	})
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: first.PacketID})
	c.expectState(id, func(s parley.State) bool {
		if s.Head != head {
			t.Errorf("state %d came in between", s.Head)
		}
		return true
	})
}

// A subscription identifier is not available, and said so; No Local is ignored:
// every device shows what its user has sent.
func TestRuleOwnMessagesComeBack(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 1)
	c := w.connect(t, who, 5)
	c.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, ProtocolVersion: 5, PacketID: c.nextID(),
		Filters: packets.Subscriptions{{Filter: c.messagesTopic(id), Qos: 1, NoLocal: true}},
	})
	c.expect(packets.Suback)
	d := draft()
	c.expectAck(c.post(id, d))
	c.expectTexts(id, []string{d.ID})
}

// Nothing is queued for a device that is away: what it is owed is in the log.
func TestRuleTheLogIsTheQueue(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 1)
	c := w.resume(t, who, 5)
	c.followMessages()
	w.away(c)
	w.write(who, id, 50)
	if held := w.broker.Held(); len(held) > 0 {
		t.Errorf("for a device that is away the broker holds %v", held)
	}
	c = w.resume(t, who, 5)
	began := time.Now()
	c.expectTexts(id, w.texts(id)[1:])
	t.Logf("50 missed messages after %v", time.Since(began).Round(time.Millisecond))
}
