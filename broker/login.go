package broker

import (
	"context"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Keep alive of MQTT 5 clients in seconds. 3.1.1 clients, who could not be told,
// have what they ask for, and the kernel's keep alive finds their dead
// connections.
const (
	minKeepAlive = 5
	maxKeepAlive = 60
)

// takeoverPause is the least time between two takeovers of a device.
const takeoverPause = time.Second

// login decides about CONNECT and makes the session. It returns how to refuse,
// or nil.
func (b *Broker) login(cl *mqtt.Client, c *conn, pk *packets.Packet) *refused {
	ctx, cancel := context.WithTimeout(context.Background(), sessionTime)
	defer cancel()
	revocations := b.revocations.Load()
	who, err := b.options.Auth.Verify(ctx, string(pk.Connect.Password))
	if err != nil {
		return &refusedToken
	}
	if pk.Connect.ClientIdentifier != who.ClientID() {
		return &refusedIdentifier
	}
	if !b.mayConnect(ctx, who.Site, c) {
		return &refusedOrigin
	}
	if no := b.mayConnectAgain(who); no != nil {
		return no
	}
	s := newSession(b, who, cl, c, pk)
	boundKeepAlive(cl)
	if b.hub.connection(s.device) != nil || b.logins.busy(s.device) {
		b.gate.pause(c) // that may take its time, and nobody else waits for it
	}
	turn, err := b.logins.lock(ctx, s.device)
	if err != nil {
		b.options.Logger.Warn("session not opened", "device", s.device, "error", err)
		return &refusedForNow
	}
	defer turn.unlock()
	if !b.truce(s.device, turn.newer) {
		return &refusedForNow
	}
	b.takeOver(s)
	b.gate.resume(c)
	if b.revocations.Load() != revocations { // perhaps of this token, before the hub knew s
		_, err = b.options.Auth.Verify(ctx, string(pk.Connect.Password))
	}
	if err != nil {
		b.hub.leave(s)
		return &refusedToken
	}
	if err := s.resume(ctx, pk.Connect.Clean); err != nil {
		b.options.Logger.Warn("session not opened", "device", s.device, "error", err)
		b.hub.leave(s)
		b.gate.overrun()
		return &refusedForNow
	}
	b.gate.kept()
	b.presence.came(userKey(who.Site, who.User), s.device)
	b.stats.connected.Add(1)
	b.stats.connects.Add(1)
	c.session.Store(s)
	c.loggedIn.Store(true)
	return nil
}

// boundKeepAlive gives an MQTT 5 client another keep alive than it asked for,
// which CONNACK tells, where that is out of bounds.
func boundKeepAlive(cl *mqtt.Client) {
	k := cl.State.Keepalive
	if cl.Properties.ProtocolVersion < 5 || minKeepAlive <= k && k <= maxKeepAlive {
		return
	}
	cl.State.ServerKeepalive = true
	cl.State.Keepalive = maxKeepAlive
	if 0 < k && k < minKeepAlive {
		cl.State.Keepalive = minKeepAlive
	}
}

// truce waits until a connection of the device may be taken over, if it has itself
// taken over less than takeoverPause ago: two that fight for the device must not
// keep each other from doing anything. It returns false when a newer one waits.
func (b *Broker) truce(device string, newer <-chan struct{}) bool {
	older := b.hub.connection(device)
	if older == nil || older.tookOver.IsZero() {
		return true
	}
	rest := time.Until(older.tookOver.Add(takeoverPause))
	if rest <= 0 {
		return true
	}
	over := time.NewTimer(rest)
	defer over.Stop()
	select {
	case <-older.ended:
	case <-over.C:
	case <-newer:
		return false
	}
	return true
}

// takeOver makes s the connection of its device. An older one is closed, and
// waited for a moment so that its last cursors are saved before they are read.
func (b *Broker) takeOver(s *session) {
	older := b.hub.enter(s)
	if older == nil {
		return
	}
	s.tookOver = time.Now()
	b.stats.takeovers.Add(1)
	older.disconnect(takenOver)
	select {
	case <-older.ended:
	case <-time.After(2 * goodbyeTime):
	}
	s.pump.goOnBehind(older.pump.newestID())
}
