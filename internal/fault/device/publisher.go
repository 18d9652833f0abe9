package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

// Endpoint is where a device finds the server.
type Endpoint struct {
	REST *REST
	MQTT string // host and port of MQTT on TCP
	// Vigil is how long to wait for a connection, and about how long for a sign
	// of life on one that may have died in silence; attempts to connect start as
	// far apart. 0 is for networks that tell when they end a connection.
	Vigil time.Duration
}

func (e Endpoint) pingEvery() time.Duration {
	if e.Vigil > 0 {
		return e.Vigil
	}
	return keepAlive * time.Second / 2
}

// Publisher is a device that writes into one conversation: it keeps an outbox,
// has several messages under way, and sends again what was not acknowledged
// when a connection ended. Its methods are safe for concurrent use.
type Publisher struct {
	Kind         Kind
	Conversation string
	Session      *Session
	Journal      checker.Journal

	endpoint Endpoint
	version  byte // of the raw client
	window   int
	serve    func(ctx context.Context, token string) error
	outbox   *outbox
	acked    atomic.Int64
	refused  atomic.Int64
	trouble  lastError
	handing  sync.WaitGroup // what paho is still about to take
}

// NewPublisher returns a publisher of our own minimal MQTT 5 client, which sees
// the position in each acknowledgement. window is how many messages may be
// unacknowledged at once, at most the server's Receive Maximum.
func NewPublisher(e Endpoint, s *Session, conversation string, window int) *Publisher {
	return NewPublisherOf(Raw5, e, s, conversation, window)
}

// NewPahoPublisher returns a publisher of the Eclipse client for MQTT 3.1.1,
// which knows nothing of us.
func NewPahoPublisher(e Endpoint, s *Session, conversation string, window int) *Publisher {
	return NewPublisherOf(Paho, e, s, conversation, window)
}

// NewPublisherOf returns a publisher that is the client of the kind.
func NewPublisherOf(k Kind, e Endpoint, s *Session, conversation string, window int) *Publisher {
	p := &Publisher{Kind: k, Conversation: conversation, Session: s, endpoint: e, version: k.version(), window: window, outbox: newOutbox()}
	switch k {
	case Paho:
		p.serve = p.servePaho
	case Mosquitto311, Mosquitto5:
		p.serve = p.serveMosquitto
	default:
		p.serve = p.serveRaw
	}
	return p
}

// Restore takes up what an earlier process with this journal has left: what is
// sent and not settled is sent again, before everything new.
func (p *Publisher) Restore(records []checker.Record) {
	p.Journal.Extend(records)
	settled := map[string]bool{}
	for _, r := range records {
		if r.Event != checker.Sent {
			settled[r.ID] = true
		}
	}
	for _, r := range records {
		if r.Event == checker.Sent && !settled[r.ID] {
			p.outbox.restore(parley.Draft{ID: r.ID, Type: r.Type, Body: r.Body})
		}
	}
}

// Records returns the journal, which nobody must change.
func (p *Publisher) Records() []checker.Record { return p.Journal.Records() }

// Send puts a text message into the outbox and returns its id. It never blocks.
func (p *Publisher) Send(text string) (id string) {
	d := parley.NewText(parley.NewID(parley.PrefixMessage), text)
	p.outbox.add(d)
	return d.ID
}

// Pending is how many messages are neither acknowledged nor refused yet.
func (p *Publisher) Pending() int { return p.outbox.pending() }

// Acked is how many messages have been acknowledged.
func (p *Publisher) Acked() int64 { return p.acked.Load() }

// Refused is how many messages the server has refused for good.
func (p *Publisher) Refused() int64 { return p.refused.Load() }

// Err is why the last connection ended or was not made, nil if none has.
func (p *Publisher) Err() error { return p.trouble.load() }

// Run connects, sends and reconnects until ctx ends.
func (p *Publisher) Run(ctx context.Context) {
	defer p.handing.Wait()
	reconnect(ctx, p.endpoint, p.Session, &p.trouble, p.serve)
}

// serveRaw sends over one connection until it ends.
func (p *Publisher) serveRaw(ctx context.Context, token string) error {
	c, _, err := Connect(ctx, p.endpoint.MQTT, Options{
		Version: p.version, ClientID: p.Session.ClientID(), Password: token, CleanStart: true, Vigil: p.endpoint.Vigil,
	})
	if err != nil {
		return err
	}
	f := flight{publisher: p, conn: c, ids: map[uint16]string{}, ended: make(chan struct{})}
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	var reader sync.WaitGroup
	reader.Add(1)
	go func() {
		defer reader.Done()
		defer close(f.ended)
		f.err = f.readAcks()
	}()
	p.outbox.rewind()
	err = f.write()
	c.Close()
	reader.Wait()
	return errors.Join(err, f.err)
}

// flight is what is under way on one connection of ours.
type flight struct {
	publisher *Publisher
	conn      *Conn
	ended     chan struct{}
	err       error // of the reader; read it after ended

	mu  sync.Mutex
	ids map[uint16]string // packet identifier to message id
}

func (f *flight) write() error {
	p := f.publisher
	topic := p.Session.Topic(parley.TopicSend, p.Conversation)
	ping := time.NewTicker(p.endpoint.pingEvery())
	defer ping.Stop()
	var packetID uint16
	for {
		d, again, ok := p.outbox.take(p.window)
		if !ok {
			select {
			case <-p.outbox.changed:
			case <-ping.C:
				if err := f.conn.Ping(); err != nil {
					return err
				}
			case <-f.ended:
				return nil
			}
			continue
		}
		packetID = packetID%65535 + 1
		f.mu.Lock()
		f.ids[packetID] = d.ID
		f.mu.Unlock()
		payload, err := p.note(d, again)
		if err != nil {
			return err
		}
		if err := f.conn.Publish(packetID, topic, payload); err != nil {
			return err
		}
	}
}

func (f *flight) readAcks() error {
	for {
		pk, err := f.conn.Read()
		if err != nil {
			return err
		}
		switch pk.FixedHeader.Type {
		case packets.Puback:
			f.mu.Lock()
			id, ok := f.ids[pk.PacketID]
			delete(f.ids, pk.PacketID)
			f.mu.Unlock()
			if !ok {
				return fmt.Errorf("PUBACK for packet identifier %d, which is not in use", pk.PacketID)
			}
			f.publisher.settle(id, pk.ReasonCode < 0x80, SeqOf(pk))
		case packets.Disconnect:
			return fmt.Errorf("disconnected by the server, reason 0x%02x", pk.ReasonCode)
		}
	}
}

// note journals a draft that goes on the wire and returns its payload.
func (p *Publisher) note(d parley.Draft, again bool) ([]byte, error) {
	payload, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode draft: %w", err)
	}
	if !again {
		p.Journal.Add(checker.Record{
			Device: p.Session.ClientID(), User: p.Session.User, Event: checker.Sent,
			Conversation: p.Conversation, ID: d.ID, Type: d.Type, Body: d.Body,
		})
	}
	return payload, nil
}

// settle journals an acknowledgement or a refusal.
func (p *Publisher) settle(id string, positive bool, seq int64) {
	event, count := checker.Acked, &p.acked
	if !positive {
		event, count = checker.Refused, &p.refused
	}
	p.Journal.Add(checker.Record{
		Device: p.Session.ClientID(), User: p.Session.User, Event: event,
		Conversation: p.Conversation, ID: id, Seq: seq,
	})
	if p.outbox.settle(id) {
		count.Add(1)
	}
}

// lastError remembers why a device is not connected.
type lastError struct {
	mu  sync.Mutex
	err error
}

func (l *lastError) store(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *lastError) load() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Full jitter up to this: the server is usually back at once, and the tests are
// in a hurry.
const maxBackoff = 100 * time.Millisecond

// reconnect calls serve again and again until ctx ends, each time with a token
// that is valid.
func reconnect(ctx context.Context, e Endpoint, s *Session, trouble *lastError, serve func(context.Context, string) error) {
	for ctx.Err() == nil {
		began := time.Now()
		token, err := e.REST.Token(ctx, s)
		if err == nil {
			err = serve(ctx, token)
		}
		if ctx.Err() != nil {
			return
		}
		trouble.store(err)
		if tokenRefused(err) {
			s.doubt()
		}
		wait := max(time.Duration(rand.Int64N(int64(maxBackoff))), e.Vigil-time.Since(began))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}
