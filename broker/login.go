package broker

import (
	"context"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Keep alive that the server accepts, in seconds. MQTT 5 clients are told; a
// 3.1.1 client's own value is kept below the engine's overflow, and the
// kernel's keep alive finds its dead connections.
const (
	minKeepAlive   = 5
	maxKeepAlive   = 60
	maxKeepAliveV3 = 40_000
)

// login decides about CONNECT and makes the session. It returns how to refuse,
// or nil.
func (b *Broker) login(cl *mqtt.Client, c *conn, pk packets.Packet) *refused {
	ctx, cancel := context.WithTimeout(context.Background(), sessionTime)
	defer cancel()
	if pk.Connect.WillFlag {
		return &refusedWill // anyone could speak in anyone's name: wills pass no check
	}
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
	s := newSession(b, who, cl, c, pk)
	disarm(cl, s.device)
	unlock, err := b.logins.lock(ctx, s.device)
	if err != nil {
		b.options.Logger.Warn("session not opened", "device", s.device, "error", err)
		return &refusedForNow
	}
	defer unlock()
	b.takeOver(s)
	if err := s.resume(ctx, pk.Connect.Clean); err != nil {
		b.options.Logger.Warn("session not opened", "device", s.device, "error", err)
		b.hub.leave(s)
		return &refusedForNow
	}
	b.presence.came(userKey(who.Site, who.User), s.device)
	b.stats.connected.Add(1)
	b.stats.connects.Add(1)
	c.session.Store(s)
	c.loggedIn.Store(true)
	b.gate.loggedIn(c)
	return nil
}

// disarm takes from the engine what it would do wrong: its send quota
// deadlocks, its outbound aliases corrupt resumed sessions, its keep alive
// overflows, and its identifiers are not bound to users.
func disarm(cl *mqtt.Client, device string) {
	cl.ID = device
	p := &cl.Properties.Props
	p.ReceiveMaximum = 0
	p.TopicAliasMaximum = 0
	cl.State.TopicAliases.Outbound = mqtt.NewOutboundTopicAliases(0)
	cl.State.Inflight.ResetSendQuota(0)
	if cl.Properties.ProtocolVersion < 5 {
		cl.State.Keepalive = min(cl.State.Keepalive, maxKeepAliveV3)
		return
	}
	if k := cl.State.Keepalive; k < minKeepAlive || k > maxKeepAlive {
		cl.State.ServerKeepalive = true
		cl.State.Keepalive = maxKeepAlive
		if k > 0 && k < minKeepAlive {
			cl.State.Keepalive = minKeepAlive
		}
	}
}

// takeOver makes s the connection of its device. An older one is closed, and
// waited for a moment so that its last cursors are saved before they are read.
func (b *Broker) takeOver(s *session) {
	older := b.hub.enter(s)
	if older == nil {
		return
	}
	b.stats.takeovers.Add(1)
	older.disconnect(takenOver)
	select {
	case <-older.ended:
	case <-time.After(2 * goodbyeTime):
	}
	s.pump.goOnBehind(older.pump.newestID())
}
