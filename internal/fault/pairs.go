package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

const pairEvery = 250 * time.Millisecond

// pairs are two devices each of visitors: one writes, the other one reads, and how
// long that takes is measured. They want to keep their connections.
type pairs struct{ timings }

// pair is one of them.
type pair struct {
	all          *pairs
	world        *world
	conversation string
	writer       *device.Session
	reader       *device.Session
	journal      checker.Journal

	mu    sync.Mutex
	sent  map[string]time.Time // by message id
	acked int
	shown map[int64]bool
}

// pairs starts so many, which go on until the world settles.
func (w *world) pairs(ctx context.Context, n int) (*pairs, error) {
	all := &pairs{}
	for range n {
		if err := w.pair(ctx, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (w *world) pair(ctx context.Context, all *pairs) error {
	p := &pair{all: all, world: w, conversation: parley.NewID(parley.PrefixConversation), sent: map[string]time.Time{}, shown: map[int64]bool{}}
	var err error
	if p.writer, err = w.rest.Visitor(ctx, server.SiteKey, "one of two"); err != nil {
		return err
	}
	if p.reader, err = w.rest.SameVisitor(ctx, server.SiteKey, p.writer); err != nil {
		return err
	}
	out, err := w.login(ctx, p.writer)
	if err != nil {
		return err
	}
	in, err := w.login(ctx, p.reader)
	if err != nil {
		return err
	}
	if err := subscribed(in, p.reader.Topic(parley.TopicMessages, parley.Any)); err != nil {
		return err
	}
	w.journals = append(w.journals, p.journal.Records)
	w.streams = append(w.streams, stream{p.conversation, p.writer})
	p.journal.Add(checker.Record{Device: p.reader.ClientID(), User: p.reader.User, Event: checker.Follows, Conversation: p.conversation})
	writing, stop := context.WithCancel(ctx)
	written := make(chan struct{})
	w.devices.Go(func() {
		defer close(written)
		defer out.Close()
		stop := context.AfterFunc(ctx, out.Close) // not when writing ends: what is under way is acknowledged
		defer stop()
		if err := p.write(writing, out); ctx.Err() == nil {
			p.note(err)
		}
	})
	ended := make(chan struct{})
	reading, hangUp := context.WithCancel(ctx)
	w.devices.Go(func() {
		defer close(ended)
		p.read(reading, in)
	})
	w.bystanders = append(w.bystanders, func() {
		stop()
		<-written
		p.note(p.complete(ctx))
		hangUp()
		<-ended
	})
	return nil
}

// login connects a device, to begin anew.
func (w *world) login(ctx context.Context, s *device.Session) (*device.Conn, error) {
	token, err := w.rest.Token(ctx, s)
	if err != nil {
		return nil, err
	}
	c, _, err := device.Connect(ctx, w.server.MQTT(), device.Options{Version: device.MQTT5, ClientID: s.ClientID(), Password: token, CleanStart: true})
	return c, err
}

// subscribed subscribes, and expects nothing but the answer.
func subscribed(c *device.Conn, filter string) error {
	if err := c.Subscribe(1, filter); err != nil {
		return err
	}
	pk, err := c.Read()
	if err != nil {
		return err
	}
	if pk.FixedHeader.Type != packets.Suback || pk.ReasonCodes[0] >= 0x80 {
		return fmt.Errorf("expected to be granted %s, got %s, reasons %#x", filter, packets.PacketNames[pk.FixedHeader.Type], pk.ReasonCodes)
	}
	return nil
}

func (p *pair) note(err error) {
	if err != nil {
		p.world.result.problem("a pair: %v", err)
	}
}

func (p *pair) write(ctx context.Context, c *device.Conn) error {
	for sleep(ctx, pairEvery) == nil {
		d := parley.NewText(parley.NewID(parley.PrefixMessage), "to each other")
		payload, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("encode draft: %w", err)
		}
		r := checker.Record{
			Device: p.writer.ClientID(), User: p.writer.User, Event: checker.Sent,
			Conversation: p.conversation, ID: d.ID, Type: d.Type, Body: d.Body,
		}
		p.journal.Add(r)
		p.mu.Lock()
		p.sent[d.ID] = time.Now()
		p.mu.Unlock()
		if err := c.Publish(1, p.writer.Topic(parley.TopicSend, p.conversation), payload); err != nil {
			return err
		}
		pk, err := c.Read()
		if err != nil {
			return err
		}
		if pk.FixedHeader.Type != packets.Puback || pk.ReasonCode >= 0x80 {
			return fmt.Errorf("expected PUBACK, got %s, reason %#x", packets.PacketNames[pk.FixedHeader.Type], pk.ReasonCode)
		}
		r.Event, r.Seq = checker.Acked, device.SeqOf(pk)
		p.journal.Add(r)
		p.mu.Lock()
		p.acked++
		p.mu.Unlock()
	}
	return nil
}

func (p *pair) read(ctx context.Context, c *device.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	for {
		pk, err := c.Read()
		if err == nil && pk.FixedHeader.Type != packets.Publish {
			err = fmt.Errorf("expected PUBLISH, got %s, reason %#x", packets.PacketNames[pk.FixedHeader.Type], pk.ReasonCode)
		}
		if err == nil {
			err = p.show(pk.Payload)
		}
		if err == nil {
			err = c.Acknowledge(pk.PacketID)
		}
		if err != nil {
			if ctx.Err() == nil {
				p.note(err)
			}
			return
		}
	}
}

func (p *pair) show(payload []byte) error {
	e, _, err := parley.DecodeEntry(parley.MessagesOf(p.reader.Site, p.conversation), payload)
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	p.mu.Lock()
	sent, measured := p.sent[e.ID]
	delete(p.sent, e.ID)
	known := p.shown[e.Seq]
	p.shown[e.Seq] = true
	p.mu.Unlock()
	if known {
		return nil
	}
	if measured {
		p.all.add(time.Since(sent))
	}
	p.journal.Add(checker.Record{
		Device: p.reader.ClientID(), User: p.reader.User, Event: checker.Shown, Conversation: p.conversation,
		Seq: e.Seq, ID: e.ID, Sender: e.Sender, Type: e.Type, Body: e.Body,
	})
	return nil
}

// complete waits until everything that is acknowledged is shown.
func (p *pair) complete(ctx context.Context) error {
	return await(ctx, roundTimeout, func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.acked > 0 && len(p.shown) < p.acked+1 { // the conversation's opening is an entry, too
			return fmt.Sprintf("%d of %d are shown", len(p.shown), p.acked+1)
		}
		return ""
	})
}
