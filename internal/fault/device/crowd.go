package device

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/proxy"
)

// CrowdPart is what a process plays that is many devices at once, each of a
// visitor with a conversation of its own. It is the first line of its standard
// input.
type CrowdPart struct {
	URL     string `json:"url"`
	MQTT    string `json:"mqtt"`
	SiteKey string `json:"siteKey"`
	TLS     bool   `json:"tls"` // to connect by, ended in this process; REST goes without
	Devices int    `json:"devices"`
	Journal string `json:"journal"` // file for everybody's journal, written at the end
}

// CrowdReport is a line of a crowd's standard output: how things stand.
type CrowdReport struct {
	Connected int   `json:"connected"`
	Pending   int   `json:"pending"`
	Behind    int   `json:"behind"`   // devices that have not shown all of their own
	Attempts  int64 `json:"attempts"` // to connect, so far
	Secured   int64 `json:"secured"`  // TLS handshakes, so far
}

// PlayCrowd plays a CrowdPart until in ends, reports every 100 ms, and writes
// the journal. A line on in makes every device say something more.
func PlayCrowd(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := bufio.NewScanner(in)
	var part CrowdPart
	if !lines.Scan() {
		return errors.New("play a crowd: no part on standard input")
	}
	if err := json.Unmarshal(lines.Bytes(), &part); err != nil {
		return fmt.Errorf("play a crowd: %w", err)
	}
	c := &crowd{endpoint: Endpoint{REST: NewREST(part.URL), MQTT: part.MQTT, Vigil: crowdVigil}, entering: make(chan struct{}, entering)}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel() // before that
	if part.TLS {
		front, err := proxy.Terminate(ctx, part.MQTT)
		if err != nil {
			return fmt.Errorf("play a crowd: %w", err)
		}
		running.Go(front.Wait)
		c.endpoint.MQTT, c.front = front.Addr(), front
	}
	for range part.Devices {
		s, err := c.endpoint.REST.Visitor(ctx, part.SiteKey, "one of many")
		if err != nil {
			return fmt.Errorf("play a crowd: %w", err)
		}
		d := newMember(c, s)
		c.members = append(c.members, d)
		running.Go(func() { d.run(ctx) })
	}
	running.Go(func() { c.report(ctx, json.NewEncoder(out)) })
	for lines.Scan() {
		for _, d := range c.members {
			d.say("here I am")
		}
	}
	cancel()
	running.Wait()
	return c.write(part.Journal)
}

const (
	crowdVigil = 20 * time.Second // a server that ten thousand come to at once may take a while
	entering   = 100              // of a process that connect at the same time
	crowdPing  = 10 * time.Second
)

// crowd is everybody in one process.
type crowd struct {
	endpoint Endpoint
	entering chan struct{}
	attempts atomic.Int64
	members  []*member
	front    *proxy.Terminator // nil without TLS
}

// options are how the device with the credentials connects.
func (c *crowd) options(s *Session, token string) Options {
	o := Options{Version: MQTT5, ClientID: s.ClientID(), Password: token, ReceiveMaximum: 10, Vigil: crowdVigil}
	if c.front != nil {
		o.TLS = c.front.Client()
	}
	return o
}

func (c *crowd) report(ctx context.Context, out *json.Encoder) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
		r := CrowdReport{Attempts: c.attempts.Load()}
		if c.front != nil {
			r.Secured = c.front.Handshakes()
		}
		for _, d := range c.members {
			if d.connected.Load() {
				r.Connected++
			}
			d.mu.Lock()
			r.Pending += len(d.pending)
			if d.said > 0 && len(d.shown) < d.said+1 { // the conversation's opening is an entry, too
				r.Behind++
			}
			d.mu.Unlock()
		}
		if out.Encode(r) != nil {
			return
		}
	}
}

func (c *crowd) write(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write journals: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for _, d := range c.members {
		if _, err := d.journal.WriteTo(w); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

// member is one device of a crowd. It writes and reads on one connection, with
// as little as a device can do with.
type member struct {
	crowd        *crowd
	session      *Session
	conversation string
	journal      checker.Journal
	connected    atomic.Bool

	mu      sync.Mutex
	conn    *Conn
	said    int
	pending []parley.Draft // not acknowledged, oldest first
	flight  map[uint16]string
	next    uint16
	shown   map[int64]bool
}

func newMember(c *crowd, s *Session) *member {
	d := &member{crowd: c, session: s, conversation: parley.NewID(parley.PrefixConversation), shown: map[int64]bool{}}
	d.note(checker.Record{Event: checker.Follows})
	return d
}

func (d *member) note(r checker.Record) {
	r.Device, r.User, r.Conversation = d.session.ClientID(), d.session.User, d.conversation
	d.journal.Add(r)
}

func (d *member) say(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := parley.NewText(parley.NewID(parley.PrefixMessage), text)
	d.note(checker.Record{Event: checker.Sent, ID: m.ID, Type: m.Type, Body: m.Body})
	d.said++
	d.pending = append(d.pending, m)
	if d.conn != nil {
		_ = d.send(m) // the next connection sends it again
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
	c, _, err := Connect(ctx, d.crowd.endpoint.MQTT, d.crowd.options(d.session, token))
	<-d.crowd.entering
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	if err := c.Subscribe(60_000, d.session.Topic(parley.TopicMessages, parley.Any)); err != nil {
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
