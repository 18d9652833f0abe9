package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
)

// A device that comes back costs what has changed: the store is asked for the
// positions in those conversations, and sources are made for those only.
func TestReconnectCostsWhatHasChanged(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	const all, changed = 60, 3
	var ids []string
	for range all {
		ids = append(ids, w.conversation(who, 1))
	}
	c := w.resume(t, who, 5)
	c.followMessages()
	await(t, func() string { return w.following(who) })
	w.age()
	w.away(c)
	for _, id := range ids[:changed] {
		w.write(who, id, 2)
	}
	w.store.asked.Store(0)
	c = w.resume(t, who, 5)
	for _, id := range ids[:changed] {
		c.expectTexts(id, w.texts(id)[1:])
	}
	await(t, func() string { return w.following(who) })
	if n := w.store.asked.Load(); n != changed {
		t.Errorf("%d positions were read for %d conversations that changed", n, changed)
	}
	if n := w.broker.Sources(who.Identity.DeviceKey()); n != changed {
		t.Errorf("%d conversations are held", n)
	}
	// One that has not changed while the device was away goes on where it was.
	last := draft()
	w.record(who, ids[all-1], last)
	c.expectTexts(ids[all-1], []string{last.ID})
}

// What was not acknowledged before the device left is owed, however long ago it
// was and whatever has changed since.
func TestWhatIsOwedStaysOwed(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		owed, other := w.conversation(who, 1), w.conversation(who, 1)
		c := w.resume(t, who, version)
		c.followMessages()
		await(t, func() string { return w.following(who) })
		c.hold(true)
		w.write(who, owed, 3)
		c.await("a delivery", func(pk packets.Packet) bool { return on(pk, c.messagesTopic(owed)) })
		w.age()
		w.away(c)
		for range 2 {
			w.write(who, other, 1)
			l := as(who, version).persistent()
			l.hold = true
			c = w.connectWith(t, who, l)
			c.await("what is owed", func(pk packets.Packet) bool { return on(pk, c.messagesTopic(owed)) })
			w.age()
			w.away(c)
		}
		c = w.resume(t, who, version)
		c.expectTexts(owed, w.texts(owed)[1:])
		c.expectTexts(other, w.texts(other)[1:])
	})
}

// A session ends when its device has been away for as long as it asked, or as
// long as the server keeps any.
func TestSessionExpiry(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) {
		o.SessionExpiry, o.SweepInterval = 2*time.Second, 20*time.Millisecond
	})
	visitor := w.visitor()
	id := w.conversation(visitor, 1)
	for name, test := range map[string]struct {
		version byte
		expiry  uint32
		told    uint32 // in CONNACK, 0 for nothing
	}{
		"3.1.1":           {version: 4},
		"5, short":        {version: 5, expiry: 1},
		"5, at the bound": {version: 5, expiry: 2},
		"5, beyond it":    {version: 5, expiry: 3, told: 2},
		"5, for ever":     {version: 5, expiry: 1<<32 - 1, told: 2},
	} {
		t.Run(name, func(t *testing.T) {
			who := w.again(visitor)
			l := as(who, test.version)
			l.clean, l.expiry = false, test.expiry
			c, ack := w.try(t, l)
			if p := ack.Properties; p.SessionExpiryInterval != test.told || p.SessionExpiryIntervalFlag != (test.told > 0) {
				t.Errorf("CONNACK says %d (%t), want %d", p.SessionExpiryInterval, p.SessionExpiryIntervalFlag, test.told)
			}
			c.who = who.Identity
			c.follow(c.messagesTopic(id))
			c.hangUp()
			awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
			c, ack = w.try(t, l)
			if !ack.SessionPresent {
				t.Error("the session is gone at once")
			}
			c.hangUp()
			await(t, func() string {
				kept, err := w.store.Cursors(t.Context(), who.Identity.DeviceKey(), []parley.Stream{parley.MessagesOf(w.site.ID, id)})
				must(t, err)
				if len(kept) > 0 {
					return "it is not swept"
				}
				return ""
			})
			if _, ack = w.try(t, l); ack.SessionPresent {
				t.Error("session present after its end")
			}
		})
	}
}

// DISCONNECT may change how long the session is kept, but not bring back one that
// was to end with its connection.
func TestDisconnectChangesTheExpiry(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		connect, disconnect uint32
		present             bool
	}{{3600, 0, false}, {3600, 7200, true}, {3600, 1<<32 - 1, true}, {0, 0, false}} {
		t.Run(fmt.Sprint(test.connect, " then ", test.disconnect), func(t *testing.T) {
			l := as(w.visitor(), 5)
			l.clean, l.expiry = false, test.connect
			c, _ := w.try(t, l)
			c.send(packets.Packet{
				FixedHeader: packets.FixedHeader{Type: packets.Disconnect},
				Properties:  packets.Properties{SessionExpiryInterval: test.disconnect, SessionExpiryIntervalFlag: true},
			})
			awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
			if _, ack := w.try(t, l); ack.SessionPresent != test.present {
				t.Errorf("session present %t", ack.SessionPresent)
			}
		})
	}
}

// now is the server's time.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.later.Load())) }

// age makes everything that has happened so far a thing of the past.
func (w *world) age() {
	w.t.Helper()
	w.later.Add(int64(2 * time.Hour))
	from := w.now().UnixMilli()
	w.conversation(w.visitor(), 1)
	await(w.t, func() string {
		if w.broker.Position() < from {
			return "the log is not followed"
		}
		return ""
	})
}

// hold stops or starts acknowledging deliveries.
func (c *client) hold(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = on
}

// expectAtLeast takes deliveries of a conversation, some of them repeated, until
// all ids have come in order.
func (c *client) expectAtLeast(conversation string, ids []string) {
	c.t.Helper()
	for have, n := int64(0), 0; n < len(ids); {
		e := c.expectEntry(c.messagesTopic(conversation))
		if e.Seq <= have {
			continue
		}
		if e.Seq != have+1 {
			c.t.Fatalf("seq %d came after %d", e.Seq, have)
		}
		have = e.Seq
		if e.Type == parley.EntryText {
			if e.ID != ids[n] {
				c.t.Fatalf("seq %d is %s, want %s", e.Seq, e.ID, ids[n])
			}
			n++
		}
	}
}

// The connection ends while its subscriptions are being taken up again: what it
// was not told yet is still owed.
func TestConnectionThatEndsBeforeItIsServed(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 1)
	c := w.resume(t, who, 5)
	c.followMessages()
	await(t, func() string { return w.following(who) })
	w.age()
	w.away(c)
	w.write(who, id, 3)
	w.store.failListing.Store(true)
	c = w.resume(t, who, 5)
	awaitCount(t, "tries to list", 1, func() int64 { return min(w.store.listings.Load(), 1) })
	w.age()
	w.away(c)
	w.store.failListing.Store(false)
	c = w.resume(t, who, 5)
	c.expectTexts(id, w.texts(id)[1:])
}

// A kept session that its device wants to end with this connection goes on from
// where it was, and is gone after it.
func TestKeptSessionIsContinuedOnce(t *testing.T) {
	for name, takeover := range map[string]bool{"after an absence": false, "by a takeover": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			who := w.visitor()
			id := w.conversation(who, 1)
			c := w.resume(t, who, 5)
			c.follow(c.messagesTopic(id))
			w.write(who, id, 3)
			c.expectTexts(id, w.texts(id)[1:])
			c.ping()
			if !takeover {
				w.away(c)
				w.write(who, id, 2)
			}
			seen := len(w.texts(id))
			if !takeover {
				seen -= 2
			}
			l := as(who, 5)
			l.clean = false
			c, ack := w.try(t, l)
			c.who = who.Identity
			if !ack.SessionPresent {
				t.Error("the session is not present")
			}
			w.write(who, id, 1)
			c.expectTexts(id, w.texts(id)[seen:])
			c.ping() // behind its acknowledgements
			w.away(c)
			if _, ack := w.try(t, l); ack.SessionPresent {
				t.Error("the session is still present")
			}
		})
	}
}

// A draft that comes too soon is told so, and what is behind it is not held up.
func TestRateLimitIsTold(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		w.burst = 2
		w.restart()
		who := w.visitor()
		c := w.connect(t, who, version)
		c.follow(c.errorsTopic())
		open := []string{parley.NewID(parley.PrefixConversation), parley.NewID(parley.PrefixConversation)}
		for _, id := range open {
			c.expectAck(c.post(id, draft()))
		}
		soon := draft()
		limited := c.post(parley.NewID(parley.PrefixConversation), soon)
		behind := c.post(open[0], draft())
		if ack := c.ackOf(limited); version == 5 && (ack.ReasonCode != packets.ErrQuotaExceeded.Code || userProperty(ack, "retryAfter") != "180") {
			t.Errorf("PUBACK %#x, to be tried again after %q", ack.ReasonCode, userProperty(ack, "retryAfter"))
		}
		if r := c.expectRefusal(); r.ID != soon.ID || r.Code != parley.CodeRateLimited || !r.Retry || r.RetryAfter != 180 {
			t.Errorf("errors told %+v", r)
		}
		c.expectAck(behind)
	})
}
