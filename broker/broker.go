// Package broker is MQTT in and out: it lets devices connect, checks what they
// may do, hands their publishes to the log, and delivers streams to them from
// the log. The Mochi engine decodes packets and keeps connections; everything
// that is promised is ours.
package broker

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"

	"github.com/parley-chat/parley"
)

// Limits announced to clients.
const (
	ReceiveMaximum = 64        // unacknowledged publishes of one client
	MaxPacketBytes = 256 << 10 // of one packet
	MaxFilters     = 50        // subscriptions of one session
	DefaultWindow  = 32        // unacknowledged deliveries to a client that names no Receive Maximum
	MaxWindow      = 1024      // and to one that names a high one
	MaxPending     = 10_000    // connections that have not logged in
	connectBytes   = 16 << 10  // of a CONNECT packet
	readBuffer     = 4 << 10   // lent to a connection that has something to read
	engineBuffer   = 16        // Mochi's own per connection, the least: it reads nothing
)

// Authenticator tells who a token is. It must be cheap: it runs for every
// connect.
type Authenticator interface {
	Verify(ctx context.Context, token string) (parley.Identity, error)
}

// Log is the door to conversations. bridge.Bridge is the real one.
type Log interface {
	// Record stores drafts in order and returns when they are durable, with the
	// answers of the first of them, at least one. Behind one that is refused it may
	// stop, so that the refusal can be told before the rest is recorded. An error is
	// temporary: the same drafts may be recorded again.
	Record(ctx context.Context, who parley.Identity, conversation string, drafts []parley.Draft) ([]parley.Appended, error)
	// Note does the same for internal notes about a conversation.
	Note(ctx context.Context, who parley.Identity, conversation string, drafts []parley.Draft) ([]parley.Appended, error)
	// Mark records how far who has got in a conversation. It answers like Record,
	// and may be called again.
	Mark(ctx context.Context, who parley.Identity, conversation string, d parley.MarkDraft) (parley.Appended, error)
	// Set sets a personal register of who. It answers like Record.
	Set(ctx context.Context, who parley.Identity, d parley.SetDraft) (parley.Appended, error)
	// Refuse writes a refusal on the device's errors stream, durably, and once
	// for each key.
	Refuse(ctx context.Context, who parley.Identity, key, topic string, refusal *parley.Error) error
	// Refusals returns the newest refusals of the device's drafts, oldest first.
	Refusals(ctx context.Context, who parley.Identity, limit int) ([]parley.Refusal, error)
	// Deliveries returns entries with seq > after, oldest first. They are shared.
	Deliveries(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Delivery, error)
	// Head returns the newest durable position.
	Head(ctx context.Context, stream parley.Stream) (int64, error)
	// Conversation returns a conversation that who may read, or CodeNotFound.
	Conversation(ctx context.Context, who parley.Identity, id string) (parley.Conversation, error)
	// Streams returns the streams behind who's membership filter of a kind, messages
	// or notes, that have changed since a position that Followed has told, 0 for
	// all.
	Streams(ctx context.Context, who parley.Identity, kind parley.TopicKind, since int64) ([]parley.StreamHead, error)
	// Watched returns the conversations behind who's c/+/state that have changed
	// since a position.
	Watched(ctx context.Context, who parley.Identity, since int64) ([]parley.Conversation, error)
	// Unwatched returns those that who may have watched at a position and does not
	// any more.
	Unwatched(ctx context.Context, who parley.Identity, since int64) ([]parley.Conversation, error)
	// Epoch identifies the numbering.
	Epoch() string
}

// Sessions keeps subscriptions and cursors of devices. device is
// parley.Identity.DeviceKey; a generation older than the stored one is refused
// or ignored.
type Sessions interface {
	// Connect raises the session's generation. With clean, or when the session has
	// expired, it forgets subscriptions and cursors first.
	Connect(ctx context.Context, device string, clean bool, expiry time.Duration) (parley.Session, error)
	// Cursors returns where the device is in streams.
	Cursors(ctx context.Context, device string, streams []parley.Stream) ([]parley.Cursor, error)
	// SaveSubscription stores a filter and where it starts.
	SaveSubscription(ctx context.Context, device string, generation int64, save parley.SubscriptionSave) error
	// DeleteSubscription forgets a filter and the cursors of streams.
	DeleteSubscription(ctx context.Context, device string, generation int64, filter string, streams []parley.Stream) error
	// DeleteMembership forgets a filter and all cursors but those of keep.
	DeleteMembership(ctx context.Context, device string, generation int64, filter string, keep []parley.Stream) error
	// SaveCursors raises cursors. A crash may forget the newest saves.
	SaveCursors(ctx context.Context, saves []parley.CursorSave) error
	// Leave ends the session after its expiry, at once with 0, unless it has a newer
	// generation.
	Leave(ctx context.Context, end parley.SessionEnd) error
	// AllLeft is Leave for all that were connected when the process died.
	AllLeft(ctx context.Context) error
	// Sweep ends at most limit sessions that have expired, and returns how many.
	Sweep(ctx context.Context, limit int) (int, error)
}

// Options configure a Broker.
type Options struct {
	Auth     Authenticator
	Sessions Sessions
	Logger   *slog.Logger     // nil discards
	Now      func() time.Time // the clock that tokens end by; nil means time.Now

	// AllowOrigin reports whether web pages of origin may connect; at the
	// upgrade site is empty and the question is whether any site allows it.
	// Origins equal to the request's own host are always allowed. nil allows no
	// foreign origin.
	AllowOrigin func(ctx context.Context, site, origin string) bool

	// MaxPending bounds connections that have not logged in yet; 0 means MaxPending,
	// or half of the files that the process may open if that is less. One more makes
	// the address that has the most of them lose one.
	MaxPending int
	// MaxLogins is how many logins are at work at once, while others wait; 0 means 16
	// for each processor.
	MaxLogins int
	// ConnectTimeout bounds the time until CONNECT is complete; 0 means 10 s.
	ConnectTimeout time.Duration
	// RecordTimeout bounds how long a publish is tried again while the store
	// cannot write, before the connection is closed; 0 means 5 s.
	RecordTimeout time.Duration
	// SessionExpiry bounds how long the session of an absent device is kept,
	// whatever its device asks; 0 means 30 days.
	SessionExpiry time.Duration
	// SweepInterval is the time between two sweeps of expired sessions; 0 means a
	// minute.
	SweepInterval time.Duration
	// PresenceGrace is how long a user counts as online after the last device has
	// gone; 0 means 5 s.
	PresenceGrace time.Duration
	// PublishLimit is how many publishes of one user, on all devices, are recorded at
	// once, and again in every 10 s; what is beyond waits. 0 means 1000, a negative
	// number no limit.
	PublishLimit int
	// AddressPublishLimit is the same for all users of one address; 0 means 20,000.
	AddressPublishLimit int
	// ConnectLimit is how many connects of one user are let in at once, and again in
	// every minute; 0 means 120, a negative number no limit.
	ConnectLimit int
	// AddressConnectLimit is the same for one address, where failures count for 20
	// connects; 0 means 20,000.
	AddressConnectLimit int
	// MaxTunnels bounds the tunnels, and MaxAddressTunnels those of one address; 0
	// means 20000, and 1000: a company may have one address.
	MaxTunnels, MaxAddressTunnels int
	// TunnelBeat is the longest silence on a tunnel's down stream; 0 means 15 s, as
	// proxies cut after 30 s.
	TunnelBeat time.Duration
	// WriteTimeout bounds how long a client may take for 16 KiB, after which it is
	// disconnected; 0 means 10 s.
	WriteTimeout time.Duration
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.AllowOrigin == nil {
		o.AllowOrigin = func(context.Context, string, string) bool { return false }
	}
	if o.MaxPending == 0 {
		o.MaxPending = min(MaxPending, mostFiles()/2)
	}
	if o.MaxLogins == 0 {
		o.MaxLogins = 16 * runtime.GOMAXPROCS(0)
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 10 * time.Second
	}
	if o.RecordTimeout == 0 {
		o.RecordTimeout = 5 * time.Second
	}
	if o.SessionExpiry == 0 {
		o.SessionExpiry = 30 * 24 * time.Hour
	}
	if o.SweepInterval == 0 {
		o.SweepInterval = time.Minute
	}
	if o.PresenceGrace == 0 {
		o.PresenceGrace = 5 * time.Second
	}
	for limit, normal := range map[*int]int{
		&o.PublishLimit: PublishLimit, &o.AddressPublishLimit: AddressPublishLimit,
		&o.ConnectLimit: ConnectLimit, &o.AddressConnectLimit: AddressConnectLimit,
	} {
		if *limit == 0 {
			*limit = normal
		}
	}
	if o.MaxTunnels == 0 {
		o.MaxTunnels = 20_000
	}
	if o.MaxAddressTunnels == 0 {
		o.MaxAddressTunnels = 1000
	}
	if o.TunnelBeat == 0 {
		o.TunnelBeat = 15 * time.Second
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 10 * time.Second
	}
}

// Broker serves MQTT. It observes the bridge (Changed, Advanced) and is given
// the log with Start.
type Broker struct {
	options Options
	engine  *mqtt.Server
	gate    *gate
	tunnels *tunnels
	hub     *hub
	logins  *deviceLocks
	cursors *cursorSaver
	sweeper *sweeper
	stats   stats
	log     Log

	presence    *presence
	connects    connects
	publishes   publishes
	revocations atomic.Int64 // so far; see login

	mu        sync.Mutex
	listeners []net.Listener
	closed    bool
	accepting sync.WaitGroup
}

// New returns a Broker that serves nothing yet.
func New(o Options) *Broker {
	o.setDefaults()
	b := &Broker{options: o, hub: newHub(), logins: newDeviceLocks()}
	b.gate = newGate(o.MaxPending, o.MaxLogins, func(c *conn) { go b.run(c) })
	b.connects = newConnects(o.ConnectLimit, o.AddressConnectLimit)
	b.publishes = newPublishes(o.PublishLimit, o.AddressPublishLimit)
	b.tunnels = newTunnels(o.MaxTunnels, o.MaxAddressTunnels)
	b.cursors = newCursorSaver(o.Sessions, o.Logger)
	b.presence = newPresence(o.PresenceGrace, b.hub.cameOrWent)
	b.sweeper = newSweeper(o.Sessions, o.SweepInterval, o.Logger)
	return b
}

// Start gives the Broker its log and starts the engine. It must come before
// ServeTCP and Handler are used.
func (b *Broker) Start(log Log) error {
	b.log = log
	b.engine = mqtt.New(&mqtt.Options{
		Logger:                  quiet(b.options.Logger),
		ClientNetReadBufferSize: engineBuffer,
		Capabilities: &mqtt.Capabilities{
			MaximumClientWritesPending:   1,              // the engine's own queue, which carries nothing
			MaximumSessionExpiryInterval: math.MaxUint32, // sessions are ours; see session.expiry
			ReceiveMaximum:               ReceiveMaximum,
			MaximumInflight:              ReceiveMaximum,
			MaximumQos:                   1,
			RetainAvailable:              1,
			WildcardSubAvailable:         1,
			Compatibilities:              mqtt.Compatibilities{NoInheritedPropertiesOnAck: true},
		},
	})
	ctx, cancel := context.WithTimeout(context.Background(), sessionTime)
	defer cancel()
	if err := b.options.Sessions.AllLeft(ctx); err != nil {
		return fmt.Errorf("open sessions: %w", err)
	}
	b.cursors.start()
	b.sweeper.start()
	return nil
}

// ServeTCP accepts MQTT connections from l until Close. It returns at once; l
// is the Broker's from now on.
func (b *Broker) ServeTCP(l net.Listener) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		_ = l.Close()
		return
	}
	b.listeners = append(b.listeners, l)
	b.accepting.Go(func() { b.accept(l) })
}

// Close stops accepting, disconnects every client (MQTT 5: 0x8B), saves cursors
// and waits until everything of this Broker has ended or ctx is done.
func (b *Broker) Close(ctx context.Context) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	for _, l := range b.listeners {
		_ = l.Close()
	}
	b.mu.Unlock()

	done := make(chan struct{})
	go func() {
		defer close(done)
		b.accepting.Wait()
		b.turnAway(b.gate.close(), &refusedForNow)
		b.CloseTunnels()
		b.hub.each(func(s *session) { s.disconnect(shuttingDown) })
		b.gate.wait()
		b.presence.close()
		b.sweeper.stop()
		b.cursors.stop()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close broker: %w", ctx.Err())
	}
}
