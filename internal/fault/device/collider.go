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

// Collider is a device that writes and reads on one connection, and gives its
// own packets the identifiers of deliveries that it has not acknowledged yet, as
// MQTT allows: the two directions count for themselves. It is safe for
// concurrent use.
type Collider struct {
	*Publisher // its outbox and journal; its own connection is not used
	reader     *Subscriber

	Collisions atomic.Int64 // publishes under the identifier of a delivery
	Subscribes atomic.Int64 // subscribes under one
	Refusals   atomic.Int64 // of these, not granted
}

// NewCollider returns a device that writes into the conversation and reads
// everything of its user.
func NewCollider(k Kind, e Endpoint, s *Session, conversation string, window int) *Collider {
	c := &Collider{Publisher: NewPublisherOf(k, e, s, conversation, window), reader: NewSubscriberOf(k, e, s, 50)}
	c.serve = c.collide
	return c
}

// Follow journals what the device is owed, as that of Subscriber.
func (c *Collider) Follow(conversation string, after int64) { c.reader.Follow(conversation, after) }

// Shown is how many entries of the conversation have been shown.
func (c *Collider) Shown(conversation string) int { return c.reader.Shown(conversation) }

// Repeated is how many deliveries were of entries shown before.
func (c *Collider) Repeated() int { return c.reader.Repeated() }

// Records returns the journal, which nobody must change.
func (c *Collider) Records() []checker.Record {
	return append(c.Journal.Records(), c.reader.Journal.Records()...)
}

// collision is one connection of a Collider.
type collision struct {
	*Collider
	conn *Conn

	mu     sync.Mutex
	flight map[uint16]string // our publishes, by packet identifier
	held   []uint16          // deliveries that are not acknowledged
	next   uint16
	asked  map[uint16]bool // our subscribes
}

// patience is how many deliveries are held back before they are acknowledged.
const patience = 12

func (c *Collider) collide(ctx context.Context, token string) error {
	conn, _, err := Connect(ctx, c.endpoint.MQTT, Options{
		Version: c.version, ClientID: c.Session.ClientID(), Password: token, ReceiveMaximum: 50,
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	x := &collision{Collider: c, conn: conn, flight: map[uint16]string{}, asked: map[uint16]bool{1: true}, next: 1000}
	if err := conn.Subscribe(1, c.reader.filter()); err != nil {
		return err
	}
	c.outbox.rewind()
	ended := make(chan struct{})
	var writer sync.WaitGroup
	defer writer.Wait()
	defer close(ended)
	writer.Go(func() {
		for {
			select {
			case <-c.outbox.changed:
				if x.publish() != nil {
					conn.Close()
					return
				}
			case <-ended:
				return
			}
		}
	})
	for {
		pk, err := conn.Read()
		if err != nil {
			return err
		}
		if err := x.receive(pk); err != nil {
			return err
		}
	}
}

func (x *collision) receive(pk *packets.Packet) error {
	switch pk.FixedHeader.Type {
	case packets.Publish:
		if err := x.reader.show(pk.TopicName, pk.Payload); err != nil {
			return err
		}
		return x.hold(pk.PacketID)
	case packets.Puback:
		x.mu.Lock()
		id, ok := x.flight[pk.PacketID]
		delete(x.flight, pk.PacketID)
		x.mu.Unlock()
		if !ok {
			return fmt.Errorf("PUBACK for packet identifier %d, which is not in use", pk.PacketID)
		}
		x.settle(id, pk.ReasonCode < 0x80, SeqOf(pk))
	case packets.Suback:
		x.mu.Lock()
		defer x.mu.Unlock()
		if !x.asked[pk.PacketID] {
			return fmt.Errorf("SUBACK for packet identifier %d, which is not in use", pk.PacketID)
		}
		delete(x.asked, pk.PacketID)
		if len(pk.ReasonCodes) != 1 || pk.ReasonCodes[0] >= 0x80 {
			x.Refusals.Add(1)
		}
		x.reader.grant()
	case packets.Disconnect:
		return fmt.Errorf("disconnected by the server, reason 0x%02x", pk.ReasonCode)
	}
	return nil
}

// hold keeps a delivery back, publishes under its identifier, and when enough
// are held, subscribes under the oldest one and acknowledges all.
func (x *collision) hold(packetID uint16) error {
	x.mu.Lock()
	x.held = append(x.held, packetID)
	x.mu.Unlock()
	if err := x.publish(); err != nil {
		return err
	}
	x.mu.Lock()
	if len(x.held) < patience && x.outbox.pending() > 0 {
		x.mu.Unlock()
		return nil
	}
	held := x.held
	x.held = nil
	free := x.flight[held[0]] == "" && !x.asked[held[0]]
	if free {
		x.asked[held[0]] = true
	}
	x.mu.Unlock()
	if free {
		x.Subscribes.Add(1)
		if err := x.conn.Subscribe(held[0], x.reader.filter()); err != nil {
			return err
		}
	}
	for _, id := range held {
		if err := x.conn.Acknowledge(id); err != nil {
			return err
		}
	}
	return nil
}

// publish sends what the window allows, under identifiers of held deliveries
// where there are some.
func (x *collision) publish() error {
	topic := x.Session.Topic(parley.TopicSend, x.Conversation)
	for {
		x.mu.Lock()
		d, again, ok := x.outbox.take(x.window)
		if !ok {
			x.mu.Unlock()
			return nil
		}
		packetID := x.identifier()
		x.flight[packetID] = d.ID
		payload, err := x.note(d, again)
		if err == nil {
			err = x.conn.Publish(packetID, topic, payload) // under the lock: the order of the outbox
		}
		x.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// identifier chooses one that no packet of ours has, best that of a delivery.
func (x *collision) identifier() uint16 {
	for i := len(x.held) - 1; i >= 0; i-- {
		if id := x.held[i]; x.flight[id] == "" && !x.asked[id] {
			x.Collisions.Add(1)
			return id
		}
	}
	for {
		x.next = max(1000, x.next+1)
		if x.flight[x.next] == "" && !x.asked[x.next] {
			return x.next
		}
	}
}
