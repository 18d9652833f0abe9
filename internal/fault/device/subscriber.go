package device

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

// Subscriber is a device that receives the conversations its user takes part
// in, through one membership filter, and journals what it would show: the first
// delivery of each entry. It never fetches what is missing by REST, so a hole
// in the deliveries is a hole in its journal. It is safe for concurrent use.
type Subscriber struct {
	Session *Session
	Journal checker.Journal

	endpoint   Endpoint
	version    byte // of the raw client
	window     uint16
	tracked    string // the one conversation of a tracker
	present    atomic.Bool
	serve      func(ctx context.Context, token string) error
	subscribed chan struct{} // closed when a subscription was granted for the first time
	granted    sync.Once
	trouble    lastError
	handing    sync.WaitGroup // what paho is still about to take

	mu    sync.Mutex
	epoch string                    // of what was shown
	shown map[string]map[int64]bool // conversation to seqs
	again int                       // deliveries of what was shown already
}

// NewSubscriber returns a subscriber of our own minimal MQTT 5 client. window
// is its Receive Maximum; 0 is the protocol's own.
func NewSubscriber(e Endpoint, s *Session, window uint16) *Subscriber {
	return NewSubscriberOf(Raw5, e, s, window)
}

// NewPahoSubscriber returns a subscriber of the Eclipse client for MQTT 3.1.1.
func NewPahoSubscriber(e Endpoint, s *Session) *Subscriber {
	return NewSubscriberOf(Paho, e, s, 0)
}

// NewSubscriberOf returns a subscriber that is the client of the kind. window
// is the Receive Maximum where the kind lets us say one.
func NewSubscriberOf(k Kind, e Endpoint, s *Session, window uint16) *Subscriber {
	d := &Subscriber{
		Session: s, endpoint: e, version: k.version(), window: window,
		subscribed: make(chan struct{}), shown: map[string]map[int64]bool{},
	}
	switch k {
	case Paho:
		d.serve = d.servePaho
	case Mosquitto311, Mosquitto5:
		d.serve = d.serveMosquitto
	default:
		d.serve = d.serveRaw
	}
	return d
}

// trackerSession is how many seconds the session of a tracker lasts.
const trackerSession = 3600

// NewTracker returns a subscriber of our own MQTT 5 client that keeps its position in
// one conversation by itself, so that it needs no session: it says where to go on.
func NewTracker(e Endpoint, s *Session, conversation string) *Subscriber {
	d := NewSubscriberOf(Raw5, e, s, 100)
	d.tracked = conversation
	return d
}

// Present reports whether the last connection of a raw client found its session.
func (d *Subscriber) Present() bool { return d.present.Load() }

// Records returns the journal, which nobody must change.
func (d *Subscriber) Records() []checker.Record { return d.Journal.Records() }

// Run connects, receives and reconnects until ctx ends. The session is kept
// between connections.
func (d *Subscriber) Run(ctx context.Context) {
	defer d.handing.Wait()
	reconnect(ctx, d.endpoint, d.Session, &d.trouble, d.serve)
}

// Subscribed is closed when the server has granted the subscription once.
func (d *Subscriber) Subscribed() <-chan struct{} { return d.subscribed }

// Follow journals that the device is owed every entry of the conversation
// behind after.
func (d *Subscriber) Follow(conversation string, after int64) {
	d.Journal.Add(checker.Record{
		Device: d.Session.ClientID(), User: d.Session.User, Event: checker.Follows,
		Conversation: conversation, Seq: after,
	})
}

// Shown is how many different entries of the conversation the device has shown.
func (d *Subscriber) Shown(conversation string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.shown[conversation])
}

// Repeated is how many deliveries were of entries shown before, which QoS 1
// allows.
func (d *Subscriber) Repeated() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.again
}

// Err is why the last connection ended or was not made, nil if none has.
func (d *Subscriber) Err() error { return d.trouble.load() }

func (d *Subscriber) filter() string {
	return d.Session.Topic(parley.TopicMessages, parley.Any)
}

func (d *Subscriber) grant() { d.granted.Do(func() { close(d.subscribed) }) }

// show journals an entry that has arrived, unless it was shown before. What is
// not an entry of a messages stream is an error.
func (d *Subscriber) show(topic string, payload []byte) error {
	t, err := parley.ParseTopic(topic)
	if err != nil {
		return fmt.Errorf("delivery on an unknown topic: %w", err)
	}
	stream, ok := t.Stream()
	if !ok || t.Kind != parley.TopicMessages {
		return fmt.Errorf("delivery on %s, which was not subscribed", t.Kind)
	}
	e, epoch, err := parley.DecodeEntry(stream, payload)
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.epoch = epoch
	seqs := d.shown[t.Conversation]
	if seqs == nil {
		seqs = map[int64]bool{}
		d.shown[t.Conversation] = seqs
	}
	if seqs[e.Seq] {
		d.again++
		return nil
	}
	seqs[e.Seq] = true
	d.Journal.Add(checker.Record{
		Device: d.Session.ClientID(), User: d.Session.User, Event: checker.Shown, Conversation: t.Conversation,
		Seq: e.Seq, ID: e.ID, Sender: e.Sender, Type: e.Type, Body: e.Body, Redacted: e.Redacted,
	})
	return nil
}

// serveRaw receives over one connection until it ends.
func (d *Subscriber) serveRaw(ctx context.Context, token string) error {
	o := Options{
		Version: d.version, ClientID: d.Session.ClientID(), Password: token, ReceiveMaximum: d.window, Vigil: d.endpoint.Vigil,
	}
	if d.tracked != "" {
		o.SessionExpiry = trackerSession
	}
	c, present, err := Connect(ctx, d.endpoint.MQTT, o)
	if err != nil {
		return err
	}
	d.present.Store(present)
	defer c.Close()
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	ended := make(chan struct{})
	var pinger sync.WaitGroup
	pinger.Add(1)
	go func() {
		defer pinger.Done()
		c.pingEvery(d.endpoint.pingEvery(), ended)
	}()
	defer pinger.Wait()
	defer close(ended)
	if err := c.Write(d.subscription()); err != nil {
		return err
	}
	for {
		pk, err := c.Read()
		if err != nil {
			return err
		}
		if err := d.receive(c, pk); err != nil {
			return err
		}
	}
}

func (d *Subscriber) subscription() *packets.Packet {
	pk := &packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 1,
		Filters: packets.Subscriptions{{Filter: d.filter(), Qos: 1}},
	}
	if d.tracked == "" {
		return pk
	}
	pk.Filters[0].Filter = d.Session.Topic(parley.TopicMessages, d.tracked)
	d.mu.Lock()
	defer d.mu.Unlock()
	after := "0"
	if n := len(d.shown[d.tracked]); n > 0 { // from the first on, and without holes
		after = fmt.Sprintf("%s:%d", d.epoch, n)
	}
	pk.Properties.User = []packets.UserProperty{{Key: "after", Val: after}}
	return pk
}

func (d *Subscriber) receive(c *Conn, pk *packets.Packet) error {
	switch pk.FixedHeader.Type {
	case packets.Suback:
		if len(pk.ReasonCodes) != 1 || pk.ReasonCodes[0] >= 0x80 {
			return fmt.Errorf("subscription refused, reason %#x", pk.ReasonCodes)
		}
		d.grant()
	case packets.Publish:
		if err := d.show(pk.TopicName, pk.Payload); err != nil {
			return err
		}
		return c.Acknowledge(pk.PacketID) // after the journal: acknowledged means shown
	case packets.Disconnect:
		return fmt.Errorf("disconnected by the server, reason 0x%02x", pk.ReasonCode)
	}
	return nil
}

// Know takes over what another process of the same device has shown.
func (d *Subscriber) Know(records []checker.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range records {
		if r.Event != checker.Shown {
			continue
		}
		if d.shown[r.Conversation] == nil {
			d.shown[r.Conversation] = map[int64]bool{}
		}
		d.shown[r.Conversation][r.Seq] = true
	}
}
