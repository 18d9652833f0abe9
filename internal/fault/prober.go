package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// prober is a bystander: it publishes one message after the other and measures
// how long each acknowledgement takes. It has one connection and wants to keep
// it.
type prober struct {
	world        *world
	session      *device.Session
	conversation string
	journal      checker.Journal
	timings
}

const (
	probeEvery = 10 * time.Millisecond
	probeLimit = 10 * time.Second
)

// probe starts a bystander, which goes on until ctx ends.
func (w *world) probe(ctx context.Context) (*prober, error) {
	p, err := w.prober(ctx)
	if err != nil {
		return nil, err
	}
	c, err := w.login(ctx, p.session)
	if err != nil {
		return nil, err
	}
	if _, err := p.publish(c); err != nil {
		c.Close()
		return nil, err
	}
	w.standBy(ctx, func(ctx context.Context) { p.run(ctx, c) })
	return p, nil
}

// prober is a bystander that is not connected yet, with a device of the same visitor that
// reads along.
func (w *world) prober(ctx context.Context) (*prober, error) {
	s, err := w.rest.Visitor(ctx, server.SiteKey, "bystander")
	if err != nil {
		return nil, err
	}
	other, err := w.rest.SameVisitor(ctx, server.SiteKey, s)
	if err != nil {
		return nil, err
	}
	d, err := w.subscribe(ctx, device.Raw5, other, w.endpoint())
	if err != nil {
		return nil, err
	}
	p := &prober{world: w, session: s, conversation: parley.NewID(parley.PrefixConversation)}
	d.Follow(p.conversation, 0)
	w.journals = append(w.journals, p.journal.Records)
	w.streams = append(w.streams, stream{p.conversation, s})
	return p, nil
}

// beside publishes while do does something. The connection has to live on meanwhile.
func (p *prober) beside(ctx context.Context, do func(context.Context) error) error {
	c, err := p.world.login(ctx, p.session)
	if err != nil {
		return err
	}
	probing, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.run(probing, c)
	}()
	err = do(ctx)
	stop()
	<-ended
	return err
}

func (p *prober) run(ctx context.Context, c *device.Conn) {
	defer c.Close()
	for sleep(ctx, probeEvery) == nil {
		took, err := p.publish(c)
		p.add(took)
		if err != nil {
			p.world.result.problem("a bystander's connection ended: %v", err)
			return
		}
	}
}

// publish sends one message and waits for its acknowledgement.
func (p *prober) publish(c *device.Conn) (time.Duration, error) {
	d := parley.NewText(parley.NewID(parley.PrefixMessage), "nothing to see here")
	payload, err := json.Marshal(d)
	if err != nil {
		return 0, fmt.Errorf("encode draft: %w", err)
	}
	r := checker.Record{
		Device: p.session.ClientID(), User: p.session.User, Event: checker.Sent,
		Conversation: p.conversation, ID: d.ID, Type: d.Type, Body: d.Body,
	}
	p.journal.Add(r)
	began := time.Now()
	if err := c.Publish(1, p.session.Topic(parley.TopicSend, p.conversation), payload); err != nil {
		return 0, err
	}
	socket, _ := c.Raw()
	_ = socket.SetReadDeadline(time.Now().Add(probeLimit)) // fails only on a closed socket
	pk, err := c.Read()
	if err != nil {
		return 0, err
	}
	if pk.FixedHeader.Type != packets.Puback || pk.ReasonCode >= 0x80 {
		return 0, fmt.Errorf("expected PUBACK, got %s, reason %#x", packets.PacketNames[pk.FixedHeader.Type], pk.ReasonCode)
	}
	r.Event, r.Seq = checker.Acked, device.SeqOf(pk)
	p.journal.Add(r)
	return time.Since(began), nil
}
