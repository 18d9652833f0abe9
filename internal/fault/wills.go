package fault

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// wills connects with a last will on every topic that could do harm. Each is
// refused; none is delivered, neither now nor retained.
func wills(ctx context.Context, l *Lab) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		victim, err := w.probe(ctx)
		if err != nil {
			return err
		}
		a, err := w.attacker(ctx)
		if err != nil {
			return err
		}
		targets := victimTopics(victim, a.session)
		for n := range w.Rounds {
			pk := a.connectPacket(device.MQTT5)
			if n%2 == 1 {
				pk = a.connectPacket(device.MQTT311)
			}
			pk.Connect.WillFlag, pk.Connect.WillTopic = true, targets[n%len(targets)]
			pk.Connect.WillRetain, pk.Connect.WillQos = n%3 == 0, byte(n%2)
			pk.Connect.WillPayload = []byte(`{"id":"msg_from_the_grave","type":"text","body":{"text":"boo"}}`)
			if n%7 == 0 {
				pk.Connect.WillPayload = []byte(strings.Repeat("x", 60_000))
			}
			c, err := a.tryConnect(ctx, pk)
			if err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
			if c != nil {
				w.result.problem("a will on %q was accepted", pk.Connect.WillTopic)
				c.Close() // dies without a DISCONNECT, which sends a will
			}
		}
		return victim.nothingRetained(ctx)
	})
}

// victimTopics are topics that the attacker may want to write to.
func victimTopics(victim *prober, a *device.Session) []string {
	v := victim.session
	return []string{
		v.Topic("send", victim.conversation), v.Topic("messages", victim.conversation), v.Topic("state", victim.conversation),
		v.Topic("messages", "+"), v.Topic("state", "+"), "p1/demo/d/" + v.ClientID() + "/errors", "p1/demo/d/" + a.ClientID() + "/errors",
		"$SYS/broker/uptime", "#", "p1/demo/presence/" + v.User, "p1/other/c/" + victim.conversation + "/messages", "a", "p1/demo/u/" + v.User + "/events",
		a.Topic("send", victim.conversation),
	}
}

// nothingRetained subscribes to what the victim may read, on a new device, and
// expects the server's own state of the conversation and nothing else.
func (p *prober) nothingRetained(ctx context.Context) error {
	s, err := p.world.rest.SameVisitor(ctx, server.SiteKey, p.session)
	if err != nil {
		return err
	}
	token, err := p.world.rest.Token(ctx, s)
	if err != nil {
		return err
	}
	c, _, err := device.Connect(ctx, p.world.server.MQTT(), device.Options{
		Version: device.MQTT5, ClientID: s.ClientID(), Password: token, CleanStart: true,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	topics := []string{s.Topic("state", p.conversation), s.Topic("messages", p.conversation), "p1/demo/d/" + s.ClientID() + "/errors"}
	for i, topic := range topics {
		if err := c.Subscribe(uint16(i+1), topic); err != nil {
			return err
		}
	}
	socket, _ := c.Raw()
	_ = socket.SetReadDeadline(time.Now().Add(time.Second)) // fails only on a closed socket
	for {
		pk, err := c.Read()
		if err != nil {
			return nil
		}
		body := string(pk.Payload)
		own := pk.TopicName == topics[0] && strings.Contains(body, `"status"`) || strings.Contains(body, "nothing to see here") || strings.Contains(body, `"opened"`)
		if pk.TopicName != "" && !own {
			p.world.result.problem("%d bytes that the server did not make were delivered on %s", len(body), pk.TopicName)
		}
	}
}
