package fault

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// wills connects with a last will on every topic that could do harm. Each is
// refused; none is delivered, neither now nor retained.
func wills(ctx context.Context, l *Lab) error {
	return l.assault(ctx, server.Config{}, func(ctx context.Context, a *assault) error {
		targets := a.topics()
		for n := range a.Rounds {
			topic := targets[n%len(targets)]
			accepted, err := a.connect(ctx, n, func(c *packets.ConnectParams) {
				c.WillFlag, c.WillTopic = true, topic
				c.WillRetain, c.WillQos = n%3 == 0, byte(n%2)
				c.WillPayload = []byte(`{"id":"msg_from_the_grave","type":"text","body":{"text":"boo"}}`)
				if n%7 == 0 {
					c.WillPayload = []byte(strings.Repeat("x", 60_000))
				}
			})
			if err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
			if accepted {
				a.result.problem("a will on %q was accepted", topic)
			}
		}
		return a.victim.nothingRetained(ctx)
	})
}

// topics are what the attacker may want to write to.
func (a *assault) topics() []string {
	conversation, v, own := a.victim.conversation, a.victim.session, a.attacker.session
	return []string{
		v.Topic("send", conversation), v.Topic("messages", conversation), v.Topic("state", conversation),
		v.Topic("messages", "+"), v.Topic("state", "+"), "p1/demo/d/" + v.ClientID() + "/errors", "p1/demo/d/" + own.ClientID() + "/errors",
		"$SYS/broker/uptime", "#", "p1/demo/presence/" + v.User, "p1/other/c/" + conversation + "/messages", "a", "p1/demo/u/" + v.User + "/events",
		own.Topic("send", conversation),
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
