package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

// Packet identifiers of subscriptions, above those of letters.
const (
	subscribeID = 60_001 + iota
	subscribeEventsID
)

// topic is the topic of a kind that belongs to the user or to this device.
func (c *Companion) topic(kind parley.TopicKind) string {
	return parley.Topic{Kind: kind, Site: c.Session.Site, User: c.Session.User, Device: c.Session.Device}.String()
}

// serve is one connection.
func (c *Companion) serve(ctx context.Context, token string) error {
	conn, _, err := Connect(ctx, c.endpoint.MQTT, Options{
		Version: c.version, ClientID: c.Session.ClientID(), Password: token, ReceiveMaximum: 100, Vigil: c.endpoint.Vigil,
	})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	var pinger sync.WaitGroup
	ended := make(chan struct{})
	pinger.Go(func() { conn.pingEvery(c.endpoint.pingEvery(), ended) })
	defer pinger.Wait()
	defer close(ended)
	defer c.leave(conn)
	if err := c.subscribe(conn); err != nil {
		return err
	}
	c.enter(conn)
	for {
		pk, err := conn.Read()
		if err != nil {
			return err
		}
		if err := c.receive(conn, pk); err != nil {
			return err
		}
	}
}

// subscribe asks for everything. Where we can, events are asked for from the first
// one on, until that is granted once.
func (c *Companion) subscribe(conn *Conn) error {
	events := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: subscribeEventsID,
		Filters: packets.Subscriptions{{Filter: c.topic(parley.TopicEvents), Qos: 1}},
	}
	select {
	case <-c.subscribed:
	default:
		events.Properties.User = []packets.UserProperty{{Key: "after", Val: "0"}} // only MQTT 5 has it
	}
	if err := conn.Write(&events); err != nil {
		return err
	}
	all := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: subscribeID}
	for _, filter := range []string{
		c.Session.Topic(parley.TopicMessages, parley.Any), c.Session.Topic(parley.TopicState, parley.Any), c.topic(parley.TopicErrors),
	} {
		all.Filters = append(all.Filters, packets.Subscription{Filter: filter, Qos: 1})
	}
	return conn.Write(&all)
}

// enter sends on a new connection what is not settled.
func (c *Companion) enter(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn, c.sent = conn, 0
	c.push()
}

func (c *Companion) leave(conn *Conn) {
	conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = nil
}

func (c *Companion) receive(conn *Conn, pk *packets.Packet) error {
	switch pk.FixedHeader.Type {
	case packets.Suback:
		for _, code := range pk.ReasonCodes {
			if code >= 0x80 {
				return fmt.Errorf("subscription refused, reason %#x", pk.ReasonCodes)
			}
		}
		if pk.PacketID == subscribeID { // the second, so both are
			c.granted.Do(func() { close(c.subscribed) })
		}
	case packets.Puback:
		c.settle(pk)
	case packets.Publish:
		if err := c.show(pk.TopicName, pk.Payload); err != nil {
			c.trouble.store(err)
			return err
		}
		return conn.Acknowledge(pk.PacketID)
	case packets.Disconnect:
		return fmt.Errorf("disconnected by the server, reason 0x%02x", pk.ReasonCode)
	}
	return nil
}

// settle journals an acknowledgement or a refusal.
func (c *Companion) settle(pk *packets.Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, l := range c.letters[:min(c.sent, len(c.letters))] {
		if l.packetID != pk.PacketID {
			continue
		}
		c.letters = append(c.letters[:i:i], c.letters[i+1:]...)
		c.sent--
		note := checker.Record{
			Device: l.note.Device, User: l.note.User, Event: checker.Acked,
			Conversation: l.note.Conversation, ID: l.note.ID, Type: l.note.Type,
		}
		if pk.ReasonCode >= 0x80 {
			note.Event, note.Code = checker.Refused, parley.Code(userProperty(pk, "code"))
		} else {
			c.acked.Add(1)
			if l.note.Type != parley.EntryMarked { // a mark is at no position
				note.Seq = SeqOf(pk)
			}
		}
		c.Journal.Add(note)
		c.push()
		return
	}
}

func userProperty(pk *packets.Packet, key string) string {
	for _, p := range pk.Properties.User {
		if p.Key == key {
			return p.Val
		}
	}
	return ""
}

// show journals what has arrived, unless it was shown before.
func (c *Companion) show(topic string, payload []byte) error {
	t, err := parley.ParseTopic(topic)
	if err != nil {
		return fmt.Errorf("delivery on an unknown topic: %w", err)
	}
	if t.Kind == parley.TopicState {
		return c.look(t.Conversation, payload)
	}
	stream, ok := t.Stream()
	if !ok {
		return fmt.Errorf("delivery on %s, which was not subscribed", t.Kind)
	}
	e, _, err := parley.DecodeEntry(stream, payload)
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	name := t.Conversation
	if name == "" {
		name = string(t.Kind)
	}
	if t.Kind == parley.TopicEvents {
		name = t.User
	}
	if c.shown[name] == nil {
		c.shown[name] = map[int64]bool{}
	}
	if c.shown[name][e.Seq] {
		c.again++
		return nil
	}
	c.shown[name][e.Seq] = true
	if t.Kind == parley.TopicErrors {
		return c.told(e)
	}
	c.Journal.Add(checker.Record{
		Device: c.Session.ClientID(), User: c.Session.User, Event: checker.Shown, Conversation: name,
		Seq: e.Seq, ID: e.ID, Sender: e.Sender, Type: e.Type, Body: e.Body, Redacted: e.Redacted,
	})
	if e.Type == parley.EntryText && e.Sender == c.Session.User && e.Device == c.Session.Device && !e.Redacted {
		c.own[name] = append(c.own[name], e.Seq)
	}
	if e.Type == parley.EntrySet {
		return c.learn(e.Body, e.Seq)
	}
	return nil
}

// learn takes the version of a register that somebody has set.
func (c *Companion) learn(body []byte, version int64) error {
	var set parley.SetBody
	if err := json.Unmarshal(body, &set); err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	c.versions[set.Key] = max(c.versions[set.Key], version)
	return nil
}

// told journals a refusal.
func (c *Companion) told(e parley.Entry) error {
	var body struct {
		ID      string           `json:"id"`
		Code    parley.Code      `json:"code"`
		Current *parley.Register `json:"current"`
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	c.Journal.Add(checker.Record{
		Device: c.Session.ClientID(), User: c.Session.User, Event: checker.Told, Conversation: c.Session.User,
		ID: body.ID, Code: body.Code, Current: body.Current,
	})
	if body.Current != nil {
		c.versions[body.Current.Key] = max(c.versions[body.Current.Key], body.Current.Version)
	}
	return nil
}

var errNoState = errors.New("delivery: not a state")

// look journals everybody's marks, as a state tells them, where they have changed.
func (c *Companion) look(conversation string, payload []byte) error {
	if len(payload) == 0 {
		return nil // not to be seen any more
	}
	var state parley.State
	if json.Unmarshal(payload, &state) != nil || state.Conversation != conversation {
		return errNoState
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range state.Marks {
		if c.views[conversation].Of(m.User) == m {
			continue
		}
		c.Journal.Add(checker.Record{
			Device: c.Session.ClientID(), User: c.Session.User, Event: checker.Viewed, Conversation: conversation,
			Sender: m.User, Delivered: m.Delivered, Read: m.Read,
		})
	}
	c.views[conversation] = state.Marks
	return nil
}
