package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	renewEvery  = 400 * time.Millisecond
	sayEvery    = 5 * time.Millisecond
	mostUnacked = 30
)

// renewer is a device that writes, reads what it has written, and renews its token
// on its connection, which it keeps as long as the renewing is in time.
type renewer struct {
	world        *world
	session      *device.Session
	conversation string
	journal      checker.Journal

	mu      sync.Mutex
	conn    *device.Conn
	next    uint16
	flight  map[uint16]string    // packet identifier to message id
	tokens  map[uint16]time.Time // packet identifier to the end of a token
	valid   time.Time            // the end of the newest token that the server has acknowledged
	pending []parley.Draft       // not acknowledged, oldest first
	acked   int
	shown   map[int64]bool
	ending  bool
}

// renewer starts one, which goes on until the world settles.
func (w *world) renewer(ctx context.Context) error {
	s, err := w.rest.Visitor(ctx, server.SiteKey, "never away")
	if err != nil {
		return err
	}
	r := &renewer{world: w, session: s, conversation: parley.NewID(parley.PrefixConversation), shown: map[int64]bool{}}
	r.note(checker.Record{Event: checker.Follows})
	w.journals = append(w.journals, r.journal.Records)
	w.streams = append(w.streams, stream{r.conversation, s})
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	w.devices.Go(func() {
		defer close(ended)
		for running.Err() == nil {
			_ = r.serve(running) // tries again, and has told what is wrong
			_ = sleep(running, 2*poll)
		}
	})
	w.bystanders = append(w.bystanders, func() {
		if err := r.complete(ctx); err != nil {
			w.result.problem("a device that renews its token: %v", err)
		}
		stop()
		<-ended
	})
	return nil
}

func (r *renewer) note(rec checker.Record) {
	rec.Device, rec.User, rec.Conversation = r.session.ClientID(), r.session.User, r.conversation
	r.journal.Add(rec)
}

// serve is a connection.
func (r *renewer) serve(ctx context.Context) error {
	token, err := r.world.rest.Token(ctx, r.session)
	if err != nil {
		return err
	}
	c, present, err := device.Connect(ctx, r.world.server.MQTT(), device.Options{Version: device.MQTT5, ClientID: r.session.ClientID(), Password: token})
	if err != nil {
		return err
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(ctx, c.Close)
	if err := r.begin(c, present); err != nil {
		return err
	}
	for _, part := range []func(context.Context) error{r.say, r.renew} {
		parts.Go(func() {
			_ = part(ctx) // the reader tells how the connection ended
			c.Close()
		})
	}
	err = r.read(c)
	if ctx.Err() == nil {
		r.judge(err)
	}
	return err
}

// judge tells whether the connection was to end.
func (r *renewer) judge(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if early := time.Until(r.valid); early > 0 {
		r.world.result.problem("a connection ended %v before the token that it was renewed with: %v", early, err)
		return
	}
	r.world.result.count("tokens renewed too late", 1) // by this busy machine
}

// begin sends on a new connection what is not acknowledged.
func (r *renewer) begin(c *device.Conn, present bool) error {
	if !present {
		if err := c.Subscribe(60_000, r.session.Topic(parley.TopicMessages, parley.Any)); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn, r.next, r.flight, r.tokens = c, 0, map[uint16]string{}, map[uint16]time.Time{}
	r.valid = r.session.Credentials().Expires
	for _, d := range r.pending {
		if err := r.send(d); err != nil {
			return err
		}
	}
	return nil
}

// send needs the lock.
func (r *renewer) send(d parley.Draft) error {
	payload, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode draft: %w", err)
	}
	r.next = r.next%50_000 + 1
	r.flight[r.next] = d.ID
	return r.conn.Publish(r.next, r.session.Topic(parley.TopicSend, r.conversation), payload)
}

func (r *renewer) say(ctx context.Context) error {
	for sleep(ctx, sayEvery) == nil {
		if err := r.sayOne(); err != nil {
			return err
		}
	}
	return nil
}

func (r *renewer) sayOne() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ending || len(r.pending) >= mostUnacked {
		return nil
	}
	d := parley.NewText(parley.NewID(parley.PrefixMessage), "still here")
	r.note(checker.Record{Event: checker.Sent, ID: d.ID, Type: d.Type, Body: d.Body})
	r.pending = append(r.pending, d)
	return r.send(d)
}

func (r *renewer) renew(ctx context.Context) error {
	s := r.session
	topic := parley.Topic{Kind: parley.TopicAuth, Site: s.Site, User: s.User, Device: s.Device}.String()
	for sleep(ctx, renewEvery) == nil {
		token, err := r.world.rest.Token(ctx, s) // always a new one: none lives for as long as it wants
		if err != nil {
			return err
		}
		payload, err := renewed(token)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.next = r.next%50_000 + 1
		r.tokens[r.next] = s.Credentials().Expires
		err = r.conn.Publish(r.next, topic, payload)
		r.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *renewer) read(c *device.Conn) error {
	for {
		pk, err := c.Read()
		if err != nil {
			return err
		}
		switch pk.FixedHeader.Type {
		case packets.Puback:
			err = r.settle(pk)
		case packets.Publish:
			if err = r.show(pk); err == nil {
				err = c.Acknowledge(pk.PacketID)
			}
		case packets.Suback:
		default:
			err = fmt.Errorf("got %s, reason %#x", packets.PacketNames[pk.FixedHeader.Type], pk.ReasonCode)
		}
		if err != nil {
			return err
		}
	}
}

func (r *renewer) settle(pk *packets.Packet) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, message := r.flight[pk.PacketID]
	end, token := r.tokens[pk.PacketID]
	delete(r.flight, pk.PacketID)
	delete(r.tokens, pk.PacketID)
	switch {
	case token && pk.ReasonCode == packets.ErrNotAuthorized.Code && time.Now().After(end):
		return nil // it came too late
	case pk.ReasonCode >= 0x80 || !token && !message:
		r.world.result.problem("a device that renews its token got PUBACK %d, reason %#x", pk.PacketID, pk.ReasonCode)
	case token:
		r.valid = end
		r.world.result.count("tokens renewed", 1)
	default:
		r.acked++
		r.pending = slices.DeleteFunc(r.pending, func(d parley.Draft) bool { return d.ID == id })
		r.note(checker.Record{Event: checker.Acked, ID: id, Seq: device.SeqOf(pk)})
	}
	return nil
}

func (r *renewer) show(pk *packets.Packet) error {
	e, _, err := parley.DecodeEntry(parley.MessagesOf(r.session.Site, r.conversation), pk.Payload)
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	r.mu.Lock()
	known := r.shown[e.Seq]
	r.shown[e.Seq] = true
	r.mu.Unlock()
	if !known {
		r.note(checker.Record{Event: checker.Shown, Seq: e.Seq, ID: e.ID, Sender: e.Sender, Type: e.Type, Body: e.Body})
	}
	return nil
}

// complete stops writing, and waits until everything is acknowledged and shown.
func (r *renewer) complete(ctx context.Context) error {
	r.mu.Lock()
	r.ending = true
	r.mu.Unlock()
	return await(ctx, roundTimeout, func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.pending) > 0 || len(r.shown) < r.acked+1 { // the conversation's opening is an entry, too
			return fmt.Sprintf("%d not acknowledged, %d of %d shown", len(r.pending), len(r.shown), r.acked+1)
		}
		return ""
	})
}
