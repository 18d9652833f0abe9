package device

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

// member is one device of a crowd. It writes and reads on one connection, with
// as little as a device can do with.
type member struct {
	crowd        *crowd
	session      *Session
	conversation string
	follows      bool
	journal      checker.Journal
	connected    atomic.Bool
	known        bool // it has had a session; of the goroutine that serves

	mu      sync.Mutex
	conn    *Conn
	said    int
	pending []parley.Draft // not acknowledged, oldest first
	flight  map[uint16]string
	next    uint16
	shown   map[int64]bool
}

func newMember(c *crowd, s *Session, follows bool) *member {
	d := &member{crowd: c, session: s, follows: follows, conversation: parley.NewID(parley.PrefixConversation), shown: map[int64]bool{}}
	if follows {
		d.note(checker.Record{Event: checker.Follows})
	}
	return d
}

func (d *member) note(r checker.Record) {
	r.Device, r.User, r.Conversation = d.session.ClientID(), d.session.User, d.conversation
	d.journal.Add(r)
}

// draft needs the lock.
func (d *member) draft(text string) parley.Draft {
	m := parley.NewText(parley.NewID(parley.PrefixMessage), text)
	d.note(checker.Record{Event: checker.Sent, ID: m.ID, Type: m.Type, Body: m.Body})
	d.said++
	return m
}

func (d *member) say(text string) {
	if !d.follows {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.draft(text)
	d.pending = append(d.pending, m)
	if d.conn != nil {
		_ = d.send(m) // the next connection sends it again
	}
}

// post says something by REST, as the visitor's page would where MQTT does not get
// through.
func (d *member) post(ctx context.Context, text string) error {
	if !d.follows {
		return nil
	}
	d.mu.Lock()
	m := d.draft(text)
	d.mu.Unlock()
	seq, err := d.crowd.endpoint.REST.Post(ctx, d.session, d.conversation, m)
	if err == nil {
		d.note(checker.Record{Event: checker.Acked, ID: m.ID, Seq: seq})
	}
	return err
}

// cut ends the connection.
func (d *member) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.connected.Store(false)
	if d.conn != nil {
		d.conn.Close()
	}
}

// send needs the lock.
func (d *member) send(m parley.Draft) error {
	payload, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode draft: %w", err)
	}
	d.next++
	d.flight[d.next] = m.ID
	return d.conn.Publish(d.next, d.session.Topic(parley.TopicSend, d.conversation), payload)
}

// run comes back after up to a second, as many others do at the same time.
func (d *member) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-d.crowd.held():
		}
		_ = d.serve(ctx) // tries again
		d.connected.Store(false)
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(rand.Int64N(int64(time.Second)))):
		}
	}
}

func (d *member) serve(ctx context.Context) error {
	token, err := d.crowd.endpoint.REST.Token(ctx, d.session)
	if err != nil {
		return err
	}
	d.crowd.attempts.Add(1)
	d.crowd.entering <- struct{}{}
	c, present, err := Connect(ctx, d.crowd.endpoint.MQTT, d.crowd.options(d.session, token))
	<-d.crowd.entering
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	if err := d.resume(c, present); err != nil {
		return err
	}
	if err := d.begin(c); err != nil {
		return err
	}
	ping := time.AfterFunc(crowdPing, func() { _ = c.Ping() }) // a dead connection ends the reading
	defer ping.Stop()
	for {
		pk, err := c.Read()
		if err != nil {
			return err
		}
		ping.Reset(crowdPing)
		if err := d.receive(c, pk); err != nil {
			return err
		}
	}
}

// resume goes on with the session that the server has kept; where there was none
// yet, it subscribes.
func (d *member) resume(c *Conn, present bool) error {
	if d.known && !present {
		d.crowd.gone.Add(1)
	}
	d.known = true
	if present || !d.follows {
		d.connected.Store(true)
		return nil
	}
	return c.Subscribe(60_000, d.session.Topic(parley.TopicMessages, parley.Any))
}

// begin sends what is not acknowledged on a new connection.
func (d *member) begin(c *Conn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conn, d.flight, d.next = c, map[uint16]string{}, 0
	for _, m := range d.pending {
		if err := d.send(m); err != nil {
			return err
		}
	}
	return nil
}

func (d *member) receive(c *Conn, pk *packets.Packet) error {
	switch pk.FixedHeader.Type {
	case packets.Suback:
		if pk.ReasonCodes[0] >= 0x80 {
			return fmt.Errorf("subscription refused, reason %#x", pk.ReasonCodes)
		}
		d.connected.Store(true)
	case packets.Puback:
		d.settle(pk)
	case packets.Publish:
		e, _, err := parley.DecodeEntry(parley.MessagesOf(d.session.Site, d.conversation), pk.Payload)
		if err != nil {
			return fmt.Errorf("delivery: %w", err)
		}
		d.show(e)
		return c.Acknowledge(pk.PacketID)
	case packets.Disconnect:
		return fmt.Errorf("disconnected by the server, reason 0x%02x", pk.ReasonCode)
	}
	return nil
}

func (d *member) settle(pk *packets.Packet) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.flight[pk.PacketID]
	for i, m := range d.pending {
		if m.ID != id {
			continue
		}
		d.pending = append(d.pending[:i:i], d.pending[i+1:]...)
		event := checker.Acked
		if pk.ReasonCode >= 0x80 {
			event = checker.Refused
		}
		d.note(checker.Record{Event: event, ID: id, Seq: SeqOf(pk)})
		return
	}
}

func (d *member) show(e parley.Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shown[e.Seq] {
		return
	}
	d.shown[e.Seq] = true
	d.note(checker.Record{Event: checker.Shown, Seq: e.Seq, ID: e.ID, Sender: e.Sender, Type: e.Type, Body: e.Body})
}
