package fault

import (
	"context"
	"fmt"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// retained publishes with the retain flag on every topic that it can think of,
// also with an empty payload, which elsewhere deletes what is retained.
func retained(ctx context.Context, l *Lab) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		victim, err := w.probe(ctx)
		if err != nil {
			return err
		}
		a, err := w.attacker(ctx)
		if err != nil {
			return err
		}
		if err := a.poison(ctx, victim, w.Rounds/2); err != nil { // what memory there is to warm up is warm now
			return err
		}
		before, err := w.rss()
		if err != nil {
			return err
		}
		if err := a.poison(ctx, victim, w.Rounds); err != nil {
			return err
		}
		if err := w.growth(before, 5*mib); err != nil {
			return err
		}
		return victim.nothingRetained(ctx)
	})
}

const poisonWindow = 50

// poison sends n retained publishes and expects each to be refused. What ends
// the connection is refused too.
func (a *attacker) poison(ctx context.Context, victim *prober, n int) error {
	c, err := a.connect(ctx, device.MQTT5)
	if err != nil {
		return err
	}
	defer func() { c.Close() }()
	flight := 0
	for i := range n {
		pk := &packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1, Retain: true},
			PacketID:    uint16(i%60_000 + 1), TopicName: a.poisoned(victim, i), Payload: []byte(`{"status":"poisoned"}`),
		}
		if i%3 == 0 {
			pk.Payload = nil
		}
		err := c.Write(pk)
		if flight++; err == nil && (flight == poisonWindow || i == n-1) {
			err = a.awaitRefusals(c, flight)
			flight = 0
		}
		if err == nil {
			continue
		}
		c.Close()
		next, err := a.connect(ctx, device.MQTT5)
		if err != nil {
			return fmt.Errorf("connect after a refused publish: %w", err)
		}
		c, flight = next, 0
	}
	return nil
}

// poisoned is the topic of the i-th publish: mostly new ones, now and then one
// of somebody else.
func (a *attacker) poisoned(victim *prober, i int) string {
	switch kinds := [...]string{"send", "messages", "state"}; {
	case i%20 == 7:
		return victimTopics(victim, a.session)[0]
	case i%20 == 14:
		return victimTopics(victim, a.session)[2]
	default:
		return a.session.Topic(parley.TopicKind(kinds[i%3]), parley.NewID(parley.PrefixConversation))
	}
}

func (a *attacker) awaitRefusals(c *device.Conn, n int) error {
	socket, _ := c.Raw()
	_ = socket.SetReadDeadline(time.Now().Add(probeLimit)) // fails only on a closed socket
	for range n {
		pk, err := c.Read()
		if err != nil {
			return err
		}
		if pk.FixedHeader.Type == packets.Puback && pk.ReasonCode < 0x80 {
			a.world.result.problem("a retained publish was accepted")
		}
	}
	return nil
}
