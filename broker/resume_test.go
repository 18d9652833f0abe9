package broker_test

import (
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// away ends a connection and waits until the server has noticed.
func (w *world) away(c *client) {
	w.t.Helper()
	before := w.broker.Stats().Connected
	c.hangUp()
	awaitCount(w.t, "connections", before-1, func() int64 { return w.broker.Stats().Connected })
}

func TestResumeDeliversWhatWasMissed(t *testing.T) {
	for name, restart := range map[string]bool{"reconnect": false, "restart": true} {
		t.Run(name, func(t *testing.T) {
			versions(t, func(t *testing.T, version byte) {
				w := newWorld(t)
				who := w.visitor()
				one, two := w.conversation(who, 3), w.conversation(who, 3)
				c := w.resume(t, who, version)
				c.followMessages()
				seen := draft()
				w.record(who, one, seen)
				c.expectTexts(one, []string{seen.ID}) // not the three from before
				c.ping()
				w.away(c)

				three := parley.NewID(parley.PrefixConversation)
				missed := map[string][]string{}
				for i, d := range drafts(150) {
					id := []string{one, two, three}[i%3]
					w.record(who, id, d)
					missed[id] = append(missed[id], d.ID)
				}
				if restart {
					w.restart()
				}
				c = w.resume(t, who, version)
				for id, ids := range missed {
					c.expectTexts(id, ids)
				}
				live := draft()
				c.expectAck(c.post(one, live))
				c.expectTexts(one, []string{live.ID})
			})
		})
	}
}

// Five rounds of being away; every entry comes once.
func TestAcknowledgedIsNotDeliveredAgain(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		id := w.conversation(who, 0)
		c := w.resume(t, who, version)
		c.follow(c.messagesTopic(id))
		for range 5 {
			all := drafts(10)
			for _, d := range all {
				w.record(who, id, d)
			}
			c.expectTexts(id, idsOf(all))
			c.expectNone("a repeat", func(pk packets.Packet) bool { return pk.FixedHeader.Type == packets.Publish })
			c.ping()
			w.away(c)
			c = w.resume(t, who, version)
			c.follow(c.messagesTopic(id)) // as mosquitto_sub does at every connect
		}
	})
}

// Acknowledgements out of order move the cursor only as far as there is no gap.
func TestCursorHasNoGaps(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 0)
	held := as(who, 5).persistent()
	held.hold = true
	c := w.connectWith(t, who, held)
	c.follow(c.messagesTopic(id))
	all := drafts(6)
	for _, d := range all {
		w.record(who, id, d)
	}
	ids := map[int64]uint16{}
	for range 7 { // the opening too
		pk := c.expectOn(c.messagesTopic(id))
		e, _, err := parley.DecodeEntry("", pk.Payload)
		must(t, err)
		ids[e.Seq] = pk.PacketID
	}
	for _, seq := range []int64{7, 5, 1, 2, 3} { // 4 and 6 are missing
		c.send(puback(ids[seq]))
	}
	c.ping()
	w.away(c)
	c = w.resume(t, who, 5)
	if e := c.expectEntry(c.messagesTopic(id)); e.Seq != 4 {
		t.Errorf("goes on at seq %d, want 4", e.Seq)
	}
}

func TestUnsubscribeDropsTheCursor(t *testing.T) {
	for name, filter := range map[string]func(c *client, id string) string{
		"exact":      func(c *client, id string) string { return c.messagesTopic(id) },
		"membership": func(c *client, _ string) string { return c.messagesTopic(parley.Any) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			who := w.visitor()
			id := w.conversation(who, 2)
			c := w.resume(t, who, 5)
			c.follow(filter(c, id))
			w.write(who, id, 2)
			c.expectTexts(id, w.texts(id)[2:])
			c.unsubscribe(filter(c, id))
			w.write(who, id, 3)
			w.away(c)
			c = w.resume(t, who, 5)
			c.follow(filter(c, id)) // starts at the head again
			marker := draft()
			w.record(who, id, marker)
			if e := c.expectEntry(c.messagesTopic(id)); e.ID != marker.ID {
				t.Errorf("seq %d was delivered", e.Seq)
			}
		})
	}
}

// A membership filter and an exact one may overlap: one delivery, and taking
// one of them away leaves the other.
func TestOverlappingSubscriptionsDeliverOnce(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 1)
	c := w.connect(t, who, 5)
	c.follow(c.messagesTopic(id), c.messagesTopic(parley.Any))
	for _, filter := range []string{"", c.messagesTopic(parley.Any)} {
		if filter != "" {
			c.unsubscribe(filter)
		}
		all := drafts(3)
		for _, d := range all {
			w.record(who, id, d)
		}
		c.expectTexts(id, idsOf(all))
		c.ping()
		c.expectNone("a repeat", func(pk packets.Packet) bool { return pk.FixedHeader.Type == packets.Publish })
	}
	c.unsubscribe(c.messagesTopic(id))
	w.write(who, id, 1)
	c.follow(c.errorsTopic())
	c.publish("p1/nowhere", nil)
	c.expectRefusal() // comes later than the message would
	c.expectNone("a delivery", func(pk packets.Packet) bool { return on(pk, c.messagesTopic(id)) })
}

// Cursors that could not be saved are saved as soon as it is possible.
func TestCursorsAreSavedAfterTheStoreFailed(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 0)
	c := w.resume(t, who, 5)
	c.followMessages()
	w.store.failCursors(errDisk)
	w.write(who, id, 5)
	c.expectTexts(id, w.texts(id))
	c.ping()
	w.away(c) // tries to save, and fails
	w.store.failCursors(nil)
	await(t, func() string {
		if n := w.store.savedCursors(); n == 0 {
			return "no cursor was saved"
		}
		return ""
	})
	c = w.resume(t, who, 5)
	marker := draft()
	w.record(who, id, marker)
	if e := c.expectEntry(c.messagesTopic(id)); e.ID != marker.ID {
		t.Errorf("seq %d is delivered again", e.Seq)
	}
}

// A cursor of another numbering, or of a future that the log does not have,
// starts at the first entry.
func TestForeignCursorStartsAtTheBeginning(t *testing.T) {
	for name, cursor := range map[string]func(w *world) (epoch string, seq int64){
		"other epoch": func(*world) (string, int64) { return "epo_of_another_store", 2 },
		"future":      func(w *world) (string, int64) { return w.store.Epoch(), 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			who := w.visitor()
			id := w.conversation(who, 3)
			c := w.resume(t, who, 5)
			w.away(c)
			epoch, seq := cursor(w)
			must(t, w.store.SaveCursors(t.Context(), []parley.CursorSave{{
				Device: who.Identity.DeviceKey(), Generation: 1 << 40,
				Cursor: parley.Cursor{Stream: parley.MessagesOf(w.site.ID, id), Epoch: epoch, Seq: seq},
			}}))
			c = w.resume(t, who, 5)
			c.followMessages()
			c.expectTexts(id, w.texts(id))
		})
	}
}

// A conversation that the membership filter delivers is subscribed by its own
// topic too, as a screen does that opens it: what the device has not
// acknowledged comes again.
func TestExactSubscriptionBesideMembershipSkipsNothing(t *testing.T) {
	for name, leave := range map[string]bool{"both": false, "membership unsubscribed, both again": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			visitor, agent := w.visitor(), w.agent("lilei")
			l := as(agent, 5).persistent()
			l.hold = true // nothing is acknowledged
			c := w.connectWith(t, agent, l)
			c.followMessages()
			id := w.conversation(visitor, 5)
			w.claim(agent, id)
			c.expectTexts(id, w.texts(id))
			c.follow(c.messagesTopic(id))
			if leave {
				c.unsubscribe(c.messagesTopic(parley.Any))
				c.follow(c.messagesTopic(id), c.messagesTopic(parley.Any))
			}
			w.away(c)
			c = w.resume(t, agent, 5)
			if e := c.expectEntry(c.messagesTopic(id)); e.Seq != 1 {
				t.Errorf("nothing was acknowledged, and the first entry is seq %d", e.Seq)
			}
			c.expectTexts(id, w.texts(id))
		})
	}
}

// The same with a conversation that was joined while the device was away, and a
// SUBSCRIBE that comes before the membership filter has started.
func TestExactSubscriptionBeforeMembershipHasStarted(t *testing.T) {
	w := newWorld(t)
	visitor, agent := w.visitor(), w.agent("lilei")
	c := w.resume(t, agent, 5)
	c.followMessages()
	w.away(c)
	id := w.conversation(visitor, 5)
	w.claim(agent, id)
	release := make(chan struct{})
	w.store.afterListing(func() { <-release })
	c = w.resume(t, agent, 5)
	c.follow(c.messagesTopic(id))
	close(release)
	if e := c.expectEntry(c.messagesTopic(id)); e.Seq != 1 {
		t.Errorf("the first entry is seq %d", e.Seq)
	}
	c.expectTexts(id, w.texts(id))
}

// A session that was to end with its connection is not there afterwards, also
// when its end could not be stored, as after kill -9.
func TestSessionThatWasNotToBeKeptIsNotPresent(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	l := as(who, 5)
	l.clean = false // and no expiry
	c := w.connectWith(t, who, l)
	c.followMessages()
	w.store.failDelete.Store(true)
	c.hangUp()
	awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
	w.store.failDelete.Store(false)
	if _, ack := w.try(t, l); ack.SessionPresent {
		t.Error("session present, but the session ended with its connection")
	}
}

// Connections that end while cursors cannot be saved wait together, not one
// after the other.
func TestEndsWaitTogether(t *testing.T) {
	w := newWorld(t)
	var clients []*client
	for range 6 {
		who := w.visitor()
		id := w.conversation(who, 0)
		c := w.resume(t, who, 5)
		c.followMessages()
		w.write(who, id, 1)
		c.expectTexts(id, w.texts(id))
		clients = append(clients, c)
	}
	w.store.hangCursors.Store(true)
	started := time.Now()
	for _, c := range clients {
		c.hangUp()
	}
	awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
	w.store.hangCursors.Store(false)
	if took := time.Since(started); took > 12*time.Second { // one after the other would be 30 s
		t.Errorf("%d connections took %v to end", len(clients), took)
	}
}
