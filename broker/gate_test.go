package broker_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
)

// holdDesks makes logins stay at work until the function it returns is called.
func (w *world) holdDesks() (free func()) {
	held := make(chan struct{})
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.store.enter = func() { <-held }
	return func() { close(held) }
}

// awaitWaiting waits until so many connections wait for their turn.
func (w *world) awaitWaiting(n int64) {
	w.t.Helper()
	awaitCount(w.t, "waiting connections", n, func() int64 { return w.broker.Stats().Waiting })
}

// awaitWork waits until a login is at work.
func (w *world) awaitWork() {
	w.t.Helper()
	awaitCount(w.t, "logins at work", 1, func() int64 { return int64(w.broker.Working()) })
}

// hello sends CONNECT on a connection of its own and does not wait for an answer.
func (w *world) hello(t testing.TB, from string, l login) *client {
	t.Helper()
	c := open(t, w.dialFrom(t, from), l.version)
	c.send(l.packet())
	return c
}

// Whoever is connected goes on while others wait for their turn, and these have
// it in the end.
func TestLoginsWaitForTheirTurn(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t, func(o *broker.Options) { o.MaxLogins = 1 })
		who := w.visitor()
		early, id := w.connect(t, who, version), w.conversation(who, 1)
		free := w.holdDesks()
		var late []*client
		late = append(late, w.hello(t, "127.0.0.2", as(w.visitor(), version)))
		w.awaitWork()
		for i := range 5 {
			late = append(late, w.hello(t, "127.0.0.2", as(w.visitor(), version)))
			w.awaitWaiting(int64(i + 1))
		}
		early.expectAck(early.post(id, draft()))
		free()
		for _, c := range late {
			if ack := c.expect(packets.Connack); ack.ReasonCode != 0 {
				t.Errorf("refused with %#x", ack.ReasonCode)
			}
			c.ping()
		}
	})
}

// Where there is no room, the newest of the address that has the most waiting is
// told so; who comes from elsewhere waits.
func TestNoRoomToWait(t *testing.T) {
	for version, reason := range map[byte]byte{5: 0x97, 4: 3} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			const most = 5
			w := newWorld(t, func(o *broker.Options) { o.MaxLogins, o.MaxPending = 1, most })
			free := w.holdDesks()
			first := w.hello(t, "127.0.0.2", as(w.visitor(), version))
			w.awaitWork()
			var crowd []*client
			for i := range most {
				crowd = append(crowd, w.hello(t, "127.0.0.2", as(w.visitor(), version)))
				w.awaitWaiting(int64(i + 1))
			}
			lonely := w.hello(t, "127.0.0.3", as(w.visitor(), version))
			ack := crowd[most-1].expect(packets.Connack)
			if ack.ReasonCode != reason {
				t.Errorf("told %#x, want %#x", ack.ReasonCode, reason)
			}
			if wait := userProperty(ack, "retryAfter"); version == 5 && wait != "5" {
				t.Errorf("to be tried again after %q", wait)
			}
			crowd[most-1].expectEnd()
			free()
			for _, c := range append(crowd[:most-1], first, lonely) {
				if ack := c.expect(packets.Connack); ack.ReasonCode != 0 {
					t.Errorf("refused with %#x", ack.ReasonCode)
				}
			}
			if n := w.broker.Stats().TurnedAway; n != 1 {
				t.Errorf("%d turned away", n)
			}
		})
	}
}

func TestNoRoomToWaitOnWebSocket(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.MaxLogins, o.MaxPending = 1, 1 })
	free := w.holdDesks()
	defer free()
	w.hello(t, "127.0.0.2", as(w.visitor(), 5))
	w.awaitWork()
	c := open(t, w.dialWS(t, ""), 5)
	l := as(w.visitor(), 5)
	c.send(l.packet())
	w.awaitWaiting(1)
	open(t, w.dialWS(t, ""), 5)
	if ack := c.expect(packets.Connack); ack.ReasonCode != 0x97 {
		t.Errorf("told %#x", ack.ReasonCode)
	}
	c.expectClose(4429)
}

// Who has left before its turn costs no login.
func TestLeavingBeforeTheTurn(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.MaxLogins = 1 })
	free := w.holdDesks()
	first := w.hello(t, "127.0.0.2", as(w.visitor(), 5))
	w.awaitWork()
	for i := range 3 {
		w.hello(t, "127.0.0.2", as(w.visitor(), 5)).hangUp()
		w.awaitWaiting(int64(i + 1))
	}
	free()
	first.expect(packets.Connack)
	awaitCount(t, "abandoned connections", 3, func() int64 { return w.broker.Stats().Abandoned })
	if n := w.broker.Stats().Connects; n != 1 {
		t.Errorf("%d logins", n)
	}
}

// Who waits when the server stops, or has its turn, is told or closed, and holds up
// nothing.
func TestStoppingWhileOthersWait(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.MaxLogins = 1 })
	free := w.holdDesks()
	first := w.hello(t, "127.0.0.2", as(w.visitor(), 5))
	w.awaitWork()
	second := w.hello(t, "127.0.0.2", as(w.visitor(), 5))
	w.awaitWaiting(1)
	silent := open(t, w.dialFrom(t, "127.0.0.2"), 5)
	var stopped sync.WaitGroup
	stopped.Go(w.stop)
	if ack := second.expect(packets.Connack); ack.ReasonCode != 0x88 {
		t.Errorf("who waits is told %#x", ack.ReasonCode)
	}
	silent.expectEnd()
	free()
	first.expectEnd()
	stopped.Wait()
}

// Each user may connect so many times, and each address, where a failure counts
// for twenty; one more is told when to come again.
func TestConnectsAreLimited(t *testing.T) {
	const most = 5
	for version, reason := range map[byte]byte{5: 0x9f, 4: 3} {
		t.Run(fmt.Sprintf("user, MQTT %d", version), func(t *testing.T) {
			w := newWorld(t, func(o *broker.Options) { o.ConnectLimit = most })
			who := w.visitor()
			for range most {
				w.connect(t, w.again(who), version)
			}
			w.expectTooOften(as(w.again(who), version), reason, "12")
			w.connect(t, w.visitor(), version) // somebody else
		})
		t.Run(fmt.Sprintf("address, MQTT %d", version), func(t *testing.T) {
			w := newWorld(t, func(o *broker.Options) { o.AddressConnectLimit = most })
			for range most {
				w.connect(t, w.visitor(), version)
			}
			w.expectTooOften(as(w.visitor(), version), reason, "12")
			c := w.hello(t, "127.0.0.2", as(w.visitor(), version))
			if ack := c.expect(packets.Connack); ack.ReasonCode != 0 {
				t.Errorf("another address is told %#x", ack.ReasonCode)
			}
		})
	}
	t.Run("failures", func(t *testing.T) {
		w := newWorld(t, func(o *broker.Options) { o.AddressConnectLimit = 41 })
		bad := as(w.visitor(), 5)
		bad.token = "nonsense"
		for range 2 {
			if _, ack := w.try(t, bad); ack.ReasonCode != 0x86 {
				t.Errorf("a bad token is told %#x", ack.ReasonCode)
			}
		}
		w.connect(t, w.visitor(), 5)
		w.expectTooOften(as(w.visitor(), 5), 0x9f, "2")
	})
	t.Run("WebSocket", func(t *testing.T) {
		w := newWorld(t, func(o *broker.Options) { o.AddressConnectLimit = 1 })
		who := w.visitor()
		w.connectWS(t, who, as(who, 5))
		c, ack := tryOn(t, w.dialWS(t, ""), as(w.visitor(), 5))
		if ack.ReasonCode != 0x9f {
			t.Errorf("told %#x", ack.ReasonCode)
		}
		c.expectClose(4429)
	})
}

// expectTooOften expects that a login is refused for now.
func (w *world) expectTooOften(l login, reason byte, wait string) {
	w.t.Helper()
	c, ack := w.try(w.t, l)
	if ack.ReasonCode != reason {
		w.t.Errorf("told %#x, want %#x", ack.ReasonCode, reason)
	}
	if got := userProperty(ack, "retryAfter"); l.version == 5 && got != wait {
		w.t.Errorf("to be tried again after %q, want %q", got, wait)
	}
	c.expectEnd()
	if w.broker.Stats().LimitedConnects == 0 {
		w.t.Error("not counted")
	}
}

// What REST records and what MQTT records is one user's, and one address's.
func TestPublishesOfAllDoorsAreLimitedTogether(t *testing.T) {
	const most = 4
	who := parley.Identity{Site: "site_one", User: "vis_1"}
	other := parley.Identity{Site: "site_one", User: "vis_2"}
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	t.Run("user", func(t *testing.T) {
		b := broker.New(broker.Options{PublishLimit: most})
		for range most {
			if wait := b.TakePublish(who, here); wait != 0 {
				t.Fatalf("to wait for %s", wait)
			}
		}
		if b.TakePublish(who, there) == 0 {
			t.Error("one more was let through")
		}
		if b.TakePublish(other, here) != 0 {
			t.Error("somebody else was not")
		}
	})
	t.Run("address", func(t *testing.T) {
		b := broker.New(broker.Options{AddressPublishLimit: most})
		for range most {
			if wait := b.TakePublish(who, here); wait != 0 {
				t.Fatalf("to wait for %s", wait)
			}
		}
		if b.TakePublish(other, here) == 0 {
			t.Error("one more was let through")
		}
		if b.TakePublish(who, there) != 0 {
			t.Error("another address was not")
		}
	})
	t.Run("with MQTT", func(t *testing.T) {
		w := newWorld(t, func(o *broker.Options) { o.PublishLimit = most })
		who := w.visitor()
		id, c := w.conversation(who, 0), w.connect(t, who, 5)
		for range most {
			c.expectAck(c.post(id, draft()))
		}
		if w.broker.TakePublish(who.Identity, here) == 0 {
			t.Error("REST was let through after MQTT had used it up")
		}
	})
}
