package broker_test

import (
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

func TestNewConnectionTakesOver(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		older := w.resume(t, who, version)
		older.followMessages()
		newer := w.resume(t, who, version)
		older.expectDisconnect(packets.ErrSessionTakenOver)

		id, d := parley.NewID(parley.PrefixConversation), draft()
		newer.expectAck(newer.post(id, d))
		newer.expectTexts(id, []string{d.ID})
		if s := w.broker.Stats(); s.Takeovers != 1 || s.Connected != 1 {
			t.Errorf("%d takeovers, %d connected", s.Takeovers, s.Connected)
		}
	})
}

// What the older connection had acknowledged is not delivered again.
func TestTakeoverKeepsTheCursor(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 0)
	older := w.resume(t, who, 5)
	older.followMessages()
	seen := drafts(20)
	for _, d := range seen {
		w.record(who, id, d)
	}
	older.expectTexts(id, idsOf(seen))
	older.ping() // behind the acknowledgements
	newer := w.resume(t, who, 5)
	next := draft()
	w.record(who, id, next)
	if e := newer.expectEntry(newer.messagesTopic(id)); e.ID != next.ID {
		t.Errorf("seq %d is delivered again", e.Seq)
	}
}

// Two connections that fight for one device leave one of them, and nothing
// else.
func TestManyConnectionsOfOneDevice(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5 {
				c := open(t, w.dial(t), 5)
				c.send(as(who, 5).persistent().packet())
				c.awaitAnswerOrEnd()
			}
		})
	}
	all.Wait()
	c := w.resume(t, who, 5)
	c.followMessages()
	awaitCount(t, "connections", 1, func() int64 { return w.broker.Stats().Connected })
	id, d := parley.NewID(parley.PrefixConversation), draft()
	c.expectAck(c.post(id, d))
	c.expectTexts(id, []string{d.ID})
}

// Two clients that connect again at once, whenever the other has taken over, do so
// once a second at most, and each is served in between.
func TestFightForADeviceIsSlow(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 0)
	w.resume(t, who, 5)
	w.resume(t, who, 5)
	begin := time.Now()
	for range 2 {
		c := w.resume(t, who, 5)
		c.expectAck(c.post(id, draft()))
	}
	if took := time.Since(begin); took < 2*time.Second-100*time.Millisecond {
		t.Errorf("two more takeovers after %v", took)
	}
	if n := w.broker.Stats().Takeovers; n != 3 {
		t.Errorf("%d takeovers", n)
	}
}

// Who waits for the device gives way to a newer connection, which does not wait
// longer for that.
func TestNewestWaitsForTheDevice(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	w.resume(t, who, 5)
	w.resume(t, who, 5)
	login := as(who, 5).persistent()
	waiting := open(t, w.dial(t), 5)
	waiting.send(login.packet())
	awaitCount(t, "logins", 1, func() int64 { return int64(w.broker.Logins(who.Identity.DeviceKey())) })
	if _, ack := w.try(t, login); ack.ReasonCode != 0 {
		t.Errorf("CONNACK %#x", ack.ReasonCode)
	}
	if ack := waiting.expect(packets.Connack); ack.ReasonCode != packets.ErrServerUnavailable.Code {
		t.Errorf("CONNACK %#x", ack.ReasonCode)
	}
	if n := w.broker.Stats().Takeovers; n != 2 {
		t.Errorf("%d takeovers", n)
	}
}

// awaitAnswerOrEnd waits until the server has said something or closed.
func (c *client) awaitAnswerOrEnd() {
	for {
		c.mu.Lock()
		changed, done := c.changed, len(c.inbox) > 0 || c.ended != nil
		c.mu.Unlock()
		if done {
			return
		}
		<-changed
	}
}

func TestCleanSessionEndsWithTheConnection(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		c := w.connect(t, who, version)
		c.followMessages()
		c.hangUp()
		awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
		_, ack := w.try(t, as(who, version).persistent())
		if ack.SessionPresent {
			t.Error("a session was kept")
		}
	})
}

func TestSessionPresentTellsTheTruth(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		present := func(l login, want bool) {
			t.Helper()
			c, ack := w.try(t, l)
			if ack.SessionPresent != want {
				t.Errorf("session present is %v", ack.SessionPresent)
			}
			c.hangUp()
			awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
		}
		present(as(who, version).persistent(), false)
		present(as(who, version).persistent(), true)
		w.restart()
		present(as(who, version).persistent(), true)
		clean := as(who, version).persistent()
		clean.clean = true
		present(clean, false)
		if version == 5 { // clean start, but the session outlives the connection
			present(as(who, version).persistent(), true)
		}
		present(as(who, version), false) // clean: nothing is left
		present(as(who, version).persistent(), false)
	})
}

func TestDisconnectCanEndTheSession(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	c := w.resume(t, who, 5)
	bye := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}}
	bye.Properties.SessionExpiryIntervalFlag = true // 0
	c.send(bye)
	c.expectEnd()
	awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
	if _, ack := w.try(t, as(who, 5).persistent()); ack.SessionPresent {
		t.Error("the session was kept")
	}
}

// The first of two logins is slow to open its session: the second one waits, and
// has the newer generation.
func TestLastLoginHasTheNewestGeneration(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	device := who.Identity.DeviceKey()
	gate, slow := make(chan struct{}), make(chan struct{}, 1)
	slow <- struct{}{}
	w.store.onConnect(func() {
		select {
		case <-slow:
			<-gate
		default:
		}
	})
	login := as(who, 5).persistent()
	older := open(t, w.dial(t), 5)
	older.send(login.packet())
	awaitCount(t, "free turns", 0, func() int64 { return int64(len(slow)) })
	newer := open(t, w.dial(t), 5)
	newer.who = who.Identity
	newer.send(login.packet())
	awaitCount(t, "logins", 2, func() int64 { return int64(w.broker.Logins(device)) })
	close(gate)
	newer.expect(packets.Connack)
	newer.follow(newer.messagesTopic(parley.Any))
	awaitCount(t, "connections", 1, func() int64 { return w.broker.Stats().Connected })
	awaitCount(t, "logins", 0, func() int64 { return int64(w.broker.Logins(device)) })
}

// A login that waits behind a store that does not answer is refused when its
// time is up, and nothing is left of it.
func TestLoginBehindAHungStore(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	gate := make(chan struct{})
	w.store.onConnect(func() { <-gate })
	login := as(who, 5).persistent()
	older := open(t, w.dial(t), 5)
	older.send(login.packet())
	awaitCount(t, "logins", 1, func() int64 { return int64(w.broker.Logins(who.Identity.DeviceKey())) })
	_, ack := w.try(t, login)
	if ack.ReasonCode != packets.ErrServerUnavailable.Code {
		t.Errorf("CONNACK %#x", ack.ReasonCode)
	}
	close(gate)
	older.expect(packets.Connack)
}
