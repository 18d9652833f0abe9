package broker_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
)

func (c *client) signalsTopic(conversation string) string {
	return parley.ConversationTopic(parley.TopicSignals, c.who.Site, conversation).String()
}

// signal publishes a signal at QoS 0.
func (c *client) signal(conversation, body string) {
	c.t.Helper()
	pk := publish(c.signalsTopic(conversation), 0, []byte(body))
	pk.FixedHeader.Qos = 0
	c.send(pk)
}

func typing(n int) string { return fmt.Sprintf(`{"type":"typing","n":%d}`, n) }

// hearSignals subscribes to signals, which are granted at QoS 0.
func (c *client) hearSignals(conversation string) {
	c.t.Helper()
	if codes := c.subscribe(c.signalsTopic(conversation)); codes[0] != 0 {
		c.t.Fatalf("SUBACK %#x", codes)
	}
}

// expectSignal takes the next signal in a conversation.
func (c *client) expectSignal(conversation string, from parley.Identity, body string) {
	c.t.Helper()
	pk := c.expectOn(c.signalsTopic(conversation))
	var got parley.Signal
	must(c.t, json.Unmarshal(pk.Payload, &got))
	if age := time.Since(time.UnixMilli(got.At)); age < 0 || age > time.Minute {
		c.t.Errorf("the signal is of %v ago", age)
	}
	want := parley.Signal{Sender: from.User, Device: from.Device, Role: from.Role, At: got.At, Body: json.RawMessage(body)}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("signal (-want +got):\n%s", diff)
	}
	if pk.FixedHeader.Qos != 0 || pk.FixedHeader.Retain {
		c.t.Errorf("a signal came at QoS %d, retained %t", pk.FixedHeader.Qos, pk.FixedHeader.Retain)
	}
}

func (c *client) expectNoSignal(what string) {
	c.t.Helper()
	c.expectNone(what, func(pk packets.Packet) bool {
		return pk.FixedHeader.Type == packets.Publish && strings.HasSuffix(pk.TopicName, "/signals")
	})
}

// Who types is told to all other devices that listen in the conversation, and to
// nobody else.
func TestSignals(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		visitor, agent := w.visitor(), w.agent("lilei")
		id, other := w.conversation(visitor, 1), w.conversation(w.visitor(), 1)
		w.claim(agent, id)
		page, tab := w.connect(t, visitor, version), w.connect(t, w.again(visitor), version)
		pc, phone := w.connect(t, agent, version), w.connect(t, w.agent("lilei"), version)
		boss, deaf := w.connect(t, w.staff("wanggang", parley.RoleSupervisor), version), w.connect(t, w.agent("lilei"), version)
		colleague := w.connect(t, w.agent("hanmeimei"), version)
		page.hearSignals(id)
		page.hearSignals(parley.Any) // both: told once
		for _, c := range []*client{tab, pc, phone, colleague} {
			c.hearSignals(parley.Any)
		}
		boss.hearSignals(id)
		boss.hearSignals(other)
		deaf.follow(deaf.messagesTopic(id))
		all := []*client{page, tab, pc, phone, boss}
		for i, from := range all {
			from.signal(id, typing(i))
			for _, c := range all {
				if c != from {
					c.expectSignal(id, from.who, typing(i))
				}
			}
		}
		for _, c := range append(all, deaf, colleague) {
			w.marker(c)
			c.expectNoSignal("a signal too much")
		}
		if n := w.streamOf(parley.Stream(strings.TrimPrefix(page.signalsTopic(id), "p1/"))); len(n) > 0 {
			t.Errorf("%d signals stored", len(n))
		}
		page.unsubscribe(page.signalsTopic(id))
		pc.signal(id, typing(8))
		page.expectSignal(id, pc.who, typing(8))
		page.unsubscribe(page.signalsTopic(parley.Any))
		pc.signal(id, typing(9))
		tab.expectSignal(id, pc.who, typing(8))
		tab.expectSignal(id, pc.who, typing(9))
		w.marker(page)
		page.expectNoSignal("a signal after UNSUBSCRIBE")
	})
}

// Signals reach those who may read the conversation now, from those who may write
// in it now, also on subscriptions from before.
func TestSignalsFollowTheRight(t *testing.T) {
	w := newWorld(t)
	visitor, agent, boss := w.visitor(), w.agent("lilei"), w.staff("wanggang", parley.RoleSupervisor)
	id := w.conversation(visitor, 1)
	page := w.connect(t, visitor, 5)
	page.hearSignals(id)
	exact, any, b := w.resume(t, agent, 5), w.connect(t, w.agent("lilei"), 5), w.connect(t, boss, 5)
	exact.hearSignals(id) // in the queue
	any.hearSignals(parley.Any)
	b.hearSignals(parley.Any)
	vain := func(c *client, n int) { // of who may not write; the n-th signal of all
		t.Helper()
		c.signal(id, typing(n))
		awaitCount(t, "signals", int64(n), func() int64 { return w.broker.Stats().Signals })
	}
	expect := func(n int, hear, deaf []*client) {
		t.Helper()
		page.signal(id, typing(n))
		for _, c := range hear {
			c.expectSignal(id, visitor.Identity, typing(n))
		}
		for _, c := range deaf {
			w.marker(c)
			c.expectNoSignal("a signal of what may not be read, or is not one's own")
		}
	}
	expect(1, []*client{exact}, []*client{any, b})
	vain(exact, 2) // not claimed
	w.claim(agent, id)
	expect(3, []*client{exact, any}, []*client{b})
	any.signal(id, typing(4))
	page.expectSignal(id, any.who, typing(4)) // the first one
	exact.expectSignal(id, any.who, typing(4))
	w.claim(boss, id)
	vain(exact, 5)
	expect(6, []*client{b}, []*client{exact, any})
	w.finish(boss, id)
	vain(b, 7)              // closed
	w.write(visitor, id, 1) // reopens it
	w.claim(agent, id)
	expect(8, []*client{exact, any}, []*client{b})
	w.away(exact)
	exact = w.resume(t, agent, 5) // the subscription is kept, the signals are not
	w.marker(exact)
	await(t, func() string { return w.following(agent) })
	expect(9, []*client{exact, any}, nil)
	any.signal(id, typing(10))
	page.expectSignal(id, any.who, typing(10))
	w.marker(page)
	page.expectNoSignal("a signal of who may not write")
}

// A signal to another's conversation vanishes, whether there is one or not.
func TestSignalsOfStrangersVanish(t *testing.T) {
	w := newWorld(t)
	visitor := w.visitor()
	id := w.conversation(visitor, 1)
	page, stranger := w.connect(t, visitor, 5), w.connect(t, w.visitor(), 5)
	page.hearSignals(id)
	stranger.hearSignals("cnv_unborn")
	stranger.signal(id, typing(1))
	stranger.signal("cnv_none", typing(2))
	w.write(visitor, "cnv_unborn", 1) // somebody else opens it
	page.signal("cnv_unborn", typing(3))
	for _, c := range []*client{page, stranger} {
		w.marker(c)
		c.expectNoSignal("a stranger's signal")
	}
	if n := len(w.streamOf(parley.ErrorsOf(w.site.ID, stranger.who.User, stranger.who.Device))); n != 1 {
		t.Errorf("%d refusals, want the marker's", n)
	}
}

// What is no signal is refused: at QoS 1 too, because a PUBACK says durable.
func TestBadSignalsAreRefused(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		id := w.conversation(who, 1)
		c, tab := w.connect(t, who, version), w.connect(t, w.again(who), version)
		c.follow(c.errorsTopic())
		tab.hearSignals(id)
		for _, bad := range []struct {
			name, topic, payload string
			qos                  byte
			retain               bool
			code                 parley.Code
		}{
			{name: "QoS 1", payload: typing(1), qos: 1, code: parley.CodeInvalid},
			{name: "retained", payload: typing(1), retain: true, code: parley.CodeInvalid},
			{name: "no object", payload: `[]`, code: parley.CodeInvalid},
			{name: "empty", payload: ``, code: parley.CodeInvalid},
			{name: "too large", payload: `{"type":"typing","text":"` + strings.Repeat("x", parley.MaxSignalBytes) + `"}`, code: parley.CodeTooLarge},
			{name: "another site", topic: "p1/" + w.other.ID + "/c/" + id + "/signals", payload: typing(1), code: parley.CodeForbidden},
		} {
			if bad.topic == "" {
				bad.topic = c.signalsTopic(id)
			}
			pk := publish(bad.topic, 0, []byte(bad.payload))
			pk.FixedHeader.Qos, pk.FixedHeader.Retain = bad.qos, bad.retain
			if bad.qos > 0 {
				pk.PacketID = c.nextID()
			}
			c.send(pk)
			if bad.qos > 0 {
				if ack := c.ackOf(pk.PacketID); version == 5 && ack.ReasonCode != 0x99 {
					t.Errorf("%s: PUBACK %#x", bad.name, ack.ReasonCode)
				}
			}
			if r := c.expectRefusal(); r.Code != bad.code || r.Topic != bad.topic {
				t.Errorf("%s: refusal %+v, want %s", bad.name, r, bad.code)
			}
		}
		w.marker(tab)
		tab.expectNoSignal("a refused signal")
	})
}

// A flood of signals is dropped without a word, and holds up no message.
func TestFloodOfSignalsVanishes(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 1)
	c, tab := w.connect(t, who, 5), w.connect(t, w.again(who), 5)
	tab.hearSignals(id)
	const flood = 500
	for n := range flood {
		c.signal(id, typing(n))
	}
	c.expectAck(c.post(id, draft()))
	tab.expectSignal(id, who.Identity, typing(0))
	if n := w.broker.Stats().SignalsDropped; n < flood/2 || n > flood-broker.SignalBurst {
		t.Errorf("%d of %d signals were dropped", n, flood)
	}
	if n := len(w.streamOf(parley.ErrorsOf(w.site.ID, who.Identity.User, who.Identity.Device))); n > 0 {
		t.Errorf("%d refusals", n)
	}
}

// A client that does not acknowledge, and a store that does not write, keep
// signals from nobody else.
func TestSignalsWaitForNobody(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 1)
	l := as(w.again(who), 5)
	l.hold, l.window = true, 1
	c, quick := w.connect(t, who, 5), w.connect(t, w.again(who), 5)
	slow := w.connectWith(t, parley.Credentials{Identity: who.Identity}, l)
	slow.hearSignals(parley.Any)
	quick.hearSignals(id)
	slow.followMessages()
	w.write(who, id, 2)
	slow.expectOn(slow.messagesTopic(id)) // its window is full
	w.store.hang()
	c.post(id, draft()) // waits for the store
	for n := range 3 {
		c.signal(id, typing(n))
		quick.expectSignal(id, who.Identity, typing(n))
	}
	w.store.repair()
	slow.hold(false)
	slow.acknowledge(1)
	slow.expectOn(slow.messagesTopic(id))
}
