package broker_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// Never more deliveries are unacknowledged than the client's Receive Maximum,
// state and errors included.
func TestWindowIsRespected(t *testing.T) {
	for _, window := range []uint16{1, 2, 7} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			w := newWorld(t)
			who := w.visitor()
			one, two := w.conversation(who, 0), w.conversation(who, 0)
			l := as(who, 5)
			l.window, l.hold = window, true
			c := w.connectWith(t, who, l)
			c.follow(c.messagesTopic(parley.Any), c.stateTopic(parley.Any), c.errorsTopic())
			for range 20 {
				w.write(who, one, 1)
				w.write(who, two, 1)
				c.publish("p1/nowhere", nil)
			}
			for got := 0; got < 20+2*21; { // refusals; entries with the openings; states come on top, coalesced
				await(t, func() string {
					c.mu.Lock()
					defer c.mu.Unlock()
					if len(c.unacked) == 0 {
						return fmt.Sprintf("%d deliveries came", got)
					}
					return ""
				})
				c.mu.Lock()
				for _, pk := range c.inbox {
					if pk.FixedHeader.Type == packets.Publish && !strings.HasSuffix(pk.TopicName, "/state") {
						got++
					}
				}
				c.inbox = c.inbox[:0]
				n := len(c.unacked)
				c.mu.Unlock()
				c.acknowledge(n)
			}
			if c.most > int(window) {
				t.Errorf("%d were unacknowledged", c.most)
			}
		})
	}
}

// A conversation with a long backlog does not hold up another one.
func TestBusyStreamDoesNotStarveAnother(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	busy, calm := w.conversation(who, 0), w.conversation(who, 0)
	c := w.resume(t, who, 5)
	c.follow(c.messagesTopic(busy), c.messagesTopic(calm))
	w.away(c)
	for range 10 {
		answers, err := w.bridge.Record(t.Context(), who.Identity, busy, drafts(200))
		must(t, err)
		must(t, answers[0].Err)
	}
	w.write(who, calm, 1)
	c = w.resume(t, who, 5)
	c.expectEntry(c.messagesTopic(calm)) // the opening
	c.expectTexts(calm, w.texts(calm))
	c.mu.Lock()
	before := 0
	for _, pk := range c.inbox {
		if on(pk, c.messagesTopic(busy)) {
			before++
		}
	}
	c.mu.Unlock()
	if before > 1000 {
		t.Errorf("%d entries of the busy conversation came before", before)
	}
	c.expectTexts(busy, w.texts(busy))
}

func TestQoS0Subscriber(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		id := w.conversation(who, 0)
		c := w.resume(t, who, version)
		if code := c.subscribeAt(0, c.messagesTopic(parley.Any))[0]; code != 0 {
			t.Fatalf("SUBACK %#x", code)
		}
		all := drafts(100)
		for _, d := range all {
			w.record(who, id, d)
		}
		for i := range 101 {
			if pk := c.expectOn(c.messagesTopic(id)); pk.FixedHeader.Qos != 0 {
				t.Fatalf("delivery %d at QoS %d", i, pk.FixedHeader.Qos)
			}
		}
		w.away(c) // what was sent at QoS 0 counts as received
		c = w.resume(t, who, version)
		marker := draft()
		w.record(who, id, marker)
		if e := c.expectEntry(c.messagesTopic(id)); e.ID != marker.ID {
			t.Errorf("seq %d came again", e.Seq)
		}
	})
}

func TestQoS2SubscriberIsGrantedQoS1(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.visitor(), 5)
	if code := c.subscribeAt(2, c.messagesTopic(parley.Any))[0]; code != 1 {
		t.Errorf("SUBACK %#x", code)
	}
}

// What the client says it cannot take is not sent; everything else is, up to
// the last byte that it takes.
func TestSmallMaximumPacketSize(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 0)
	probe := w.connect(t, who, 5)
	probe.followMessages()
	first := draft()
	probe.expectAck(probe.post(id, first))
	probe.expectOn(probe.messagesTopic(id))
	size := len(encode(probe.expectOn(probe.messagesTopic(id)), 5))

	l := as(w.again(who), 5)
	l.mostBytes = uint32(size)
	c, _ := w.try(t, l)
	c.who = who.Identity
	c.followMessages()
	fits := parley.NewText(parley.NewID(parley.PrefixMessage), strings.Repeat("x", len("text of  with the "+canary)+len(first.ID)))
	large := parley.NewText(parley.NewID(parley.PrefixMessage), strings.Repeat("x", 500))
	last := parley.NewText(parley.NewID(parley.PrefixMessage), "short")
	for _, d := range []parley.Draft{fits, large, last} {
		w.record(who, id, d)
	}
	if e := c.expectEntry(c.messagesTopic(id)); e.ID != fits.ID {
		t.Errorf("%s came first", e.ID)
	}
	if e := c.expectEntry(c.messagesTopic(id)); e.ID != last.ID {
		t.Errorf("%s came second", e.ID)
	}
	if n := w.broker.Stats().TooBig; n != 1 {
		t.Errorf("%d too big", n)
	}
}

// Many writers in one conversation, many readers: all see one order, without
// holes, and the one that the log has.
func TestAllReadersSeeOneOrder(t *testing.T) {
	const writers, each = 8, 40
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 0)
	readers := make([]*client, 4)
	for i := range readers {
		readers[i] = w.connect(t, w.again(who), byte(4+i%2))
		readers[i].followMessages()
	}
	var all sync.WaitGroup
	for range writers {
		c := w.connect(t, w.again(who), 5)
		all.Go(func() {
			mine := drafts(each)
			c.raw(burst(c.sendTopic(id), mine, 5))
			for i := range mine {
				c.expectAck(uint16(i + 1))
			}
		})
	}
	all.Wait()
	order := w.texts(id)
	if len(order) != writers*each {
		t.Errorf("%d stored", len(order))
	}
	for _, r := range readers {
		r.expectTexts(id, order)
		r.ping()
		r.expectNone("a repeat", func(pk packets.Packet) bool { return pk.FixedHeader.Type == packets.Publish })
	}
}

// Where subscriptions overlap, the highest QoS counts, whichever came last.
func TestOverlappingSubscriptionsKeepTheHigherQoS(t *testing.T) {
	all := func(c *client, _ string) []string {
		return []string{c.messagesTopic(parley.Any), c.stateTopic(parley.Any)}
	}
	own := func(c *client, id string) []string { return []string{c.messagesTopic(id), c.stateTopic(id)} }
	for name, test := range map[string]struct {
		one, zero func(*client, string) []string
	}{
		"exact 1, membership 0": {own, all},
		"membership 1, exact 0": {all, own},
	} {
		for order, oneFirst := range map[string]bool{"1 first": true, "0 first": false} {
			t.Run(name+", "+order, func(t *testing.T) {
				w := newWorld(t)
				who := w.visitor()
				id := w.conversation(who, 1)
				c := w.connect(t, who, 5)
				if !oneFirst {
					c.subscribeAt(0, test.zero(c, id)...)
				}
				c.subscribeAt(1, test.one(c, id)...)
				if oneFirst {
					c.subscribeAt(0, test.zero(c, id)...)
				}
				await(t, func() string { return w.following(who) })
				expect := func(qos byte) {
					t.Helper()
					w.write(who, id, 1)
					head := w.stored(id)[len(w.stored(id))-1].Seq
					if pk := c.expectOn(c.messagesTopic(id)); pk.FixedHeader.Qos != qos {
						t.Errorf("a message came at QoS %d, want %d", pk.FixedHeader.Qos, qos)
					}
					if pk := c.expectState(id, func(s parley.State) bool { return s.Head == head }); pk.FixedHeader.Qos != qos {
						t.Errorf("a state came at QoS %d, want %d", pk.FixedHeader.Qos, qos)
					}
				}
				expect(1)
				c.unsubscribe(test.one(c, id)...)
				expect(0)
			})
		}
	}
}
