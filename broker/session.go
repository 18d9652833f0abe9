package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// Bounds of the steps that the end of one connection and the beginning of the
// next wait for.
const (
	goodbyeTime = 200 * time.Millisecond
	sessionTime = 5 * time.Second
)

// session is one connection of a device, from CONNECT to its end. What outlives
// the connection is in the store.
type session struct {
	broker     *Broker
	who        parley.Identity
	device     string // parley.Identity.DeviceKey
	client     *mqtt.Client
	conn       *conn
	version    byte
	expiry     atomic.Int64 // how long subscriptions and cursors outlive the connection, a time.Duration
	noted      atomic.Bool  // the saver knows that cursors have moved
	generation int64
	present    bool      // CONNACK's session present
	tookOver   time.Time // from an older connection of the device; of the logins' turns

	inbound inbound
	speaker speaker
	acker   acker
	starter starter
	pump    *pump

	mu        sync.Mutex
	filters   map[string]parley.Subscription // granted
	positions positions
	leavings  int         // how often positions were given up
	since     int64       // what has not changed since then owes the membership filters nothing
	attaching int         // subscriptions whose deliveries have not begun
	seenSaved int64       // the newest parley.CursorSave.Seen
	expires   *time.Timer // with the token, nil for never
	expiresAt time.Time   // the latest that it had
	expired   bool        // the last one has ended

	ending sync.Once
	ended  chan struct{}
}

func newSession(b *Broker, who parley.Identity, cl *mqtt.Client, c *conn, pk *packets.Packet) *session {
	s := &session{
		broker: b, who: who, device: who.DeviceKey(), client: cl, conn: c,
		version: cl.Properties.ProtocolVersion,
		filters: map[string]parley.Subscription{}, positions: positions{},
		ended: make(chan struct{}),
	}
	s.inbound.session, s.inbound.room = s, make(chan struct{}, 1)
	s.speaker.session = s
	s.expiry.Store(int64(b.expiryOf(pk)))
	p := pk.Properties
	s.acker = acker{version: s.version, terse: p.RequestProblemInfoFlag && p.RequestProblemInfo == 0, most: int(p.MaximumPacketSize)}
	s.pump = newPump(s, window(p.ReceiveMaximum), p.MaximumPacketSize)
	return s
}

// window is how many deliveries may be unacknowledged.
func window(receiveMaximum uint16) int {
	if receiveMaximum == 0 {
		return DefaultWindow
	}
	return min(int(receiveMaximum), MaxWindow)
}

// resume takes over what the store kept of the device.
func (s *session) resume(ctx context.Context, clean bool) error {
	kept, err := s.broker.options.Sessions.Connect(ctx, s.device, clean, time.Duration(s.expiry.Load()))
	if err != nil {
		return err
	}
	crash.At(crash.SessionOpened)
	s.generation, s.present, s.since, s.seenSaved = kept.Generation, kept.Present, kept.Seen, kept.Seen
	if kept.LastID != 0 {
		s.pump.goOnBehind(kept.LastID)
	}
	for _, sub := range kept.Subscriptions {
		s.filters[sub.Filter] = sub
	}
	return nil
}

// start delivers to the subscriptions that the device came back with. It runs
// after CONNACK.
func (s *session) start() {
	s.mu.Lock()
	subs := make([]parley.Subscription, 0, len(s.filters))
	for _, sub := range s.filters {
		subs = append(subs, sub)
	}
	s.attaching += len(subs)
	s.mu.Unlock()
	s.startAll(subs, true)
	s.expireAt(s.who.Expires)
}

// acknowledged takes a PUBACK of a delivery. It is called by the reading
// goroutine.
func (s *session) acknowledged(id uint16) {
	crash.At(crash.PubackRead)
	s.pump.acknowledged(id)
	crash.At(crash.CursorMoved)
}

// goodbye takes the client's DISCONNECT.
func (s *session) goodbye(pk *packets.Packet) error {
	s.conn.left.Store(true)
	if pk.Properties.SessionExpiryIntervalFlag {
		if !s.keeps() && pk.Properties.SessionExpiryInterval > 0 {
			return packets.ErrProtocolViolationZeroNonZeroExpiry
		}
		s.expiry.Store(int64(s.broker.expiryOf(pk)))
	}
	return errGoodbye
}

// disconnect ends the connection from the server's side, with a reason for MQTT
// 5 and for WebSocket. It does not block longer than goodbyeTime.
func (s *session) disconnect(e ending) {
	s.conn.closeCode.CompareAndSwap(0, e.closeCode)
	s.conn.hurry(goodbyeTime)
	if s.version == 5 {
		_ = s.broker.engine.DisconnectClient(s.client, e.reason)
		return
	}
	s.client.Stop(e.reason)
}

// end releases everything of this connection. It is called at the end of every
// connection, whatever ended it, and may be called again.
func (s *session) end() {
	s.ending.Do(func() {
		defer close(s.ended)
		s.broker.hub.leave(s)
		s.pump.cancel()
		s.stopExpiring()
		s.speaker.stop()
		s.inbound.stop() // first: it starts deliveries
		s.pump.stop()
		s.broker.presence.left(userKey(s.who.Site, s.who.User), s.device)
		s.broker.cursors.flush(s)
		s.away()
		s.broker.stats.connected.Add(-1)
	})
}

// away starts the time after which the store forgets the device, unless a newer
// connection has it by now.
func (s *session) away() {
	ctx, cancel := context.WithTimeout(context.Background(), sessionTime)
	defer cancel()
	err := s.broker.options.Sessions.Leave(ctx, parley.SessionEnd{
		Device: s.device, Generation: s.generation, Expiry: time.Duration(s.expiry.Load()), LastID: s.pump.newestID(),
	})
	if err != nil {
		s.broker.options.Logger.Warn("session not ended", "device", s.device, "error", err)
	}
}

// keeps reports whether the session outlives the connection.
func (s *session) keeps() bool { return s.expiry.Load() > 0 }

// expiryOf returns how long a CONNECT or DISCONNECT wants the session kept, up to
// the configured bound: MQTT 5 says so, 3.1.1 without clean session means for ever.
func (b *Broker) expiryOf(pk *packets.Packet) time.Duration {
	switch {
	case pk.ProtocolVersion == 5:
		return min(time.Duration(pk.Properties.SessionExpiryInterval)*time.Second, b.options.SessionExpiry)
	case pk.Connect.Clean:
		return 0
	}
	return b.options.SessionExpiry
}
