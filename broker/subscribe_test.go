package broker_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
)

// One SUBSCRIBE holds filters of every kind: each gets its own answer, and those
// that are granted work.
func TestFiltersAreAnsweredOneByOne(t *testing.T) {
	w := newWorld(t)
	visitor, agent := w.visitor(), w.agent("lilei")
	mine, theirs := w.conversation(visitor, 1), w.conversation(w.visitor(), 1)
	own := "p1/" + w.site.ID
	errorsOf := func(c parley.Credentials) string { return own + "/d/" + c.Identity.ClientID() + "/errors" }
	const once, granted, denied, invalid = 0, 1, 0x87, 0x8f // once: at QoS 0
	for _, test := range []struct {
		filter         string
		visitor, agent byte
	}{
		{own + "/c/+/messages", granted, granted},
		{own + "/c/+/state", granted, granted},
		{own + "/c/" + mine + "/messages", granted, granted}, // it is in the queue
		{own + "/c/" + mine + "/state", granted, granted},
		{own + "/c/" + theirs + "/messages", denied, granted},
		{own + "/c/" + theirs + "/state", denied, granted},
		{own + "/c/cnv_unborn/messages", granted, denied},
		{errorsOf(visitor), granted, denied},
		{errorsOf(agent), denied, granted},
		{errorsOf(w.again(visitor)), denied, denied},
		{"#", invalid, invalid},
		{"+/#", invalid, invalid},
		{"+", invalid, invalid},
		{"p1/#", invalid, invalid},
		{own + "/#", invalid, invalid},
		{own + "/c/#", invalid, invalid},
		{"p1/+/c/" + mine + "/messages", invalid, invalid},
		{"p1/+/c/+/messages", invalid, invalid},
		{own + "/+/" + mine + "/messages", invalid, invalid},
		{own + "/c/" + mine + "/+", invalid, invalid},
		{own + "/c/+/send", invalid, invalid},
		{own + "/c/" + mine + "/send", denied, denied},
		{own + "/d/+/errors", invalid, invalid},
		{own + "/u/+/events", invalid, invalid},
		{"$SYS/#", invalid, invalid},
		{"$SYS/broker/version", invalid, invalid},
		{"$share/g/" + own + "/c/" + mine + "/messages", invalid, invalid},
		{"$SHARE/g/" + own + "/c/+/messages", invalid, invalid},
		{"$ShArE/g/" + own + "/c/+/messages", invalid, invalid},
		{"p2/" + w.site.ID + "/c/+/messages", invalid, invalid},
		{own + "/c//messages", invalid, invalid},
		{own + "/c/../messages", invalid, invalid},
		{"/" + own + "/c/+/messages", invalid, invalid},
		{own + "/c/+/messages/", invalid, invalid},
		{own + "/c/a+/messages", invalid, invalid},
		{own + "/c/" + mine + "\u202e/messages", invalid, invalid},
		{"p1/" + w.other.ID + "/c/+/messages", denied, denied},
		{"p1/" + w.other.ID + "/c/" + mine + "/messages", denied, denied},
		{own + "/c/+/notes", denied, granted},
		{own + "/c/" + mine + "/notes", denied, granted},
		{own + "/c/cnv_unborn/notes", denied, denied},
		{own + "/c/+/notes/send", invalid, invalid},
		{own + "/c/" + mine + "/notes/send", denied, denied},
		{"p1/" + w.other.ID + "/c/+/notes", denied, denied},
		{own + "/c/+/signals", once, once},
		{own + "/c/" + mine + "/signals", once, once},
		{own + "/c/" + theirs + "/signals", denied, once},
		{own + "/c/cnv_unborn/signals", once, denied},
		{"p1/" + w.other.ID + "/c/+/signals", denied, denied},
		{own + "/presence/+", denied, granted},
		{own + "/visits/+", denied, invalid}, // reserved
		{own + "/u/" + visitor.Identity.User + "/events", granted, denied},
		{own + "/u/" + agent.Identity.User + "/events", denied, granted},
	} {
		for _, reader := range []struct {
			who  parley.Credentials
			code byte
		}{{visitor, test.visitor}, {agent, test.agent}} {
			t.Run(fmt.Sprintf("%s %s", reader.who.Identity.Role, test.filter), func(t *testing.T) {
				versions(t, func(t *testing.T, version byte) {
					code := reader.code
					if code > 2 && version < 5 {
						code = 0x80
					}
					c := w.connect(t, reader.who, version)
					all := c.subscribe(c.messagesTopic(parley.Any), test.filter, c.errorsTopic())
					if diff := cmp.Diff([]byte{granted, code, granted}, all); diff != "" {
						t.Errorf("SUBACK (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}

func TestFiltersThatAreNotDecodableEndTheConnection(t *testing.T) {
	for name, filter := range map[string]string{"NUL": "p1/site_one/c/\x00/messages", "not UTF-8": "p1/site_one/c/\xff/messages"} {
		t.Run(name, func(t *testing.T) {
			versions(t, func(t *testing.T, version byte) {
				w := newWorld(t)
				c := w.connect(t, w.visitor(), version)
				c.send(packets.Packet{
					FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1,
					Filters: packets.Subscriptions{{Filter: filter, Qos: 1}},
				})
				c.expectEnd()
			})
		})
	}
}

func TestSubscriptionIdentifierEndsTheConnection(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.visitor(), 5)
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1,
		Filters: packets.Subscriptions{{Filter: c.messagesTopic(parley.Any), Qos: 1}},
	}
	pk.Properties.SubscriptionIdentifier = []int{7}
	c.send(pk)
	c.expectDisconnect(packets.ErrSubscriptionIdentifiersNotSupported)
}

func TestTooManySubscriptions(t *testing.T) {
	w := newWorld(t)
	c := w.resume(t, w.visitor(), 5)
	var filters []string
	for i := range broker.MaxFilters + 2 {
		filters = append(filters, c.messagesTopic(fmt.Sprintf("cnv_%d", i)))
	}
	for i, code := range c.subscribe(filters...) {
		if want := map[bool]byte{false: 1, true: 0x97}[i >= broker.MaxFilters]; code != want {
			t.Errorf("filter %d: %#x, want %#x", i, code, want)
		}
	}
	c.follow(filters[0]) // one that it has is always granted again
	c.unsubscribe(filters[0])
	c.follow(filters[broker.MaxFilters])
}

func TestUnsubscribeAnswers(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.visitor(), 5)
	c.follow(c.errorsTopic())
	ack := c.unsubscribe(c.errorsTopic(), c.messagesTopic("cnv_other"), "#")
	if diff := cmp.Diff([]byte{0, 0x11, 0x11}, ack.ReasonCodes); diff != "" {
		t.Errorf("UNSUBACK (-want +got):\n%s", diff)
	}
	c = w.connect(t, w.visitor(), 4)
	c.follow(c.errorsTopic())
	c.unsubscribe(c.errorsTopic())
}

// No delivery comes before the SUBACK of its subscription, or before CONNACK.
func TestAnswersComeBeforeDeliveries(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 3)
	c := w.resume(t, who, 5)
	c.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1,
		Filters: packets.Subscriptions{{Filter: c.stateTopic(id), Qos: 1}, {Filter: c.messagesTopic(id), Qos: 1}},
	})
	if first := c.await("anything", func(packets.Packet) bool { return true }); first.FixedHeader.Type != packets.Suback {
		t.Errorf("the first answer is %s", describe([]packets.Packet{first}))
	}
	c.hangUp()
	w.write(who, id, 3)
	c = open(t, w.dial(t), 5)
	c.send(as(who, 5).persistent().packet())
	if first := c.await("anything", func(packets.Packet) bool { return true }); first.FixedHeader.Type != packets.Connack {
		t.Errorf("the first answer is %s", describe([]packets.Packet{first}))
	}
}

// A store that is slow to answer a SUBSCRIBE does not keep the connection from
// its PINGRESP, and what was published after it waits its turn behind it.
func TestSlowSubscribeHoldsUpNothingElse(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 1)
	c := w.connect(t, who, 5)
	asked, answer := make(chan struct{}), make(chan struct{})
	w.store.afterListing(func() {
		close(asked)
		<-answer
	})
	c.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 77,
		Filters: packets.Subscriptions{{Filter: c.messagesTopic(parley.Any), Qos: 1}},
	})
	<-asked
	c.ping()
	published := c.post(id, draft())
	c.expectNone("a PUBACK", func(pk packets.Packet) bool { return pk.FixedHeader.Type == packets.Puback })
	close(answer)
	if ack := c.expect(packets.Suback); ack.PacketID != 77 || ack.ReasonCodes[0] != 1 {
		t.Errorf("SUBACK %+v", ack)
	}
	c.expectAck(published)
	c.expectEntry(c.messagesTopic(id))
}

// A client that asks for more than it waits for is held back, and ended in the
// end.
func TestTooManySubscribesAtOnce(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.visitor(), 5)
	answer := make(chan struct{})
	defer close(answer)
	w.store.afterListing(func() { <-answer })
	for i := range 20 {
		c.send(packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: uint16(i + 1),
			Filters: packets.Subscriptions{{Filter: c.messagesTopic(parley.Any), Qos: 1}},
		})
	}
	c.expectDisconnect(packets.ErrMessageRateTooHigh)
}

// SUBSCRIBEs right behind each other: each filter has the QoS of its last one,
// whatever the earlier ones still have to do.
func TestLastSubscribeCounts(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		var filters packets.Subscriptions
		c := w.connect(t, who, version)
		for range 30 {
			filters = append(filters, packets.Subscription{Filter: c.messagesTopic(w.conversation(who, 1))})
		}
		id := w.conversation(who, 1)
		for _, f := range []string{c.messagesTopic(id), c.messagesTopic(parley.Any)} {
			low := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: c.nextID(), Filters: append(filters[:30:30], packets.Subscription{Filter: f})}
			high := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: c.nextID(), Filters: packets.Subscriptions{{Filter: f, Qos: 1}}}
			c.send(low)
			c.send(high)
			c.expect(packets.Suback)
			c.expect(packets.Suback)
			d := draft()
			w.record(who, id, d)
			pk := c.expectOn(c.messagesTopic(id))
			if pk.FixedHeader.Qos != 1 {
				t.Errorf("%s is delivered at QoS %d", f, pk.FixedHeader.Qos)
			}
			c.ping()
			c.unsubscribe(f)
		}
	})
}

// SUBSCRIBE, UNSUBSCRIBE and SUBSCRIBE of a filter in one go: it is delivered.
func TestSubscribedAgainAtOnce(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 1)
	c := w.connect(t, who, 5)
	f := c.messagesTopic(id)
	for range 200 {
		for _, kind := range []byte{packets.Subscribe, packets.Unsubscribe, packets.Subscribe} {
			c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: kind, Qos: 1}, PacketID: c.nextID(), Filters: packets.Subscriptions{{Filter: f, Qos: 1}}})
		}
		c.expect(packets.Suback)
		c.expect(packets.Unsuback)
		c.expect(packets.Suback)
		d := draft()
		w.record(who, id, d)
		for c.expectEntry(f).ID != d.ID { // those of the round before may come again
		}
	}
}

// An exact filter that is given up leaves the position to the membership filter.
func TestUnsubscribeExactBesideMembership(t *testing.T) {
	for name, exactFirst := range map[string]bool{"exact first": true, "exact last": false} {
		t.Run(name, func(t *testing.T) {
			versions(t, func(t *testing.T, version byte) {
				for _, persistent := range []bool{false, true} {
					w := newWorld(t)
					who := w.visitor()
					id := w.conversation(who, 10)
					w.followed(who, id, 11)
					l := as(who, version)
					if persistent {
						l = l.persistent()
					}
					c := w.connectWith(t, who, l)
					filters := []string{c.messagesTopic(id), c.messagesTopic(parley.Any)}
					if !exactFirst {
						filters[0], filters[1] = filters[1], filters[0]
					}
					c.follow(filters[0])
					c.follow(filters[1])
					c.unsubscribe(c.messagesTopic(id))
					w.write(who, id, 1)
					if e := c.expectEntry(c.messagesTopic(id)); e.Seq != 12 {
						t.Errorf("persistent %t: goes on with seq %d, want 12", persistent, e.Seq)
					}
				}
			})
		})
	}
}

// A queue that has changed while the agent was away has no ghosts.
func TestStateLostWhileAway(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		visitor, agent, other := w.visitor(), w.agent("lilei"), w.agent("hanmeimei")
		taken, finished := w.conversation(visitor, 1), w.conversation(visitor, 1)
		w.claim(agent, finished)
		w.settled(agent)
		c := w.resume(t, agent, version)
		c.follow(c.stateTopic(parley.Any))
		c.expectState(taken, func(s parley.State) bool { return s.Status == parley.StatusQueued })
		c.expectState(finished, func(s parley.State) bool { return s.Status == parley.StatusOpen })
		c.ping()
		w.away(c)
		w.claim(other, taken)
		w.finish(agent, finished)
		c = w.resume(t, agent, version)
		if pk := c.expectOn(c.stateTopic(taken)); len(pk.Payload) != 0 {
			t.Errorf("state of what was taken: %s", pk.Payload)
		}
		c.expectState(finished, func(s parley.State) bool { return s.Status == parley.StatusClosed })
	})
}
