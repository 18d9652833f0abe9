package fault

import (
	"context"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// assault is an attacker beside a victim, who must not notice anything.
type assault struct {
	*world
	victim   *prober
	attacker *attacker
}

// assault opens a world with a victim and an attacker in it.
func (l *Lab) assault(ctx context.Context, config server.Config, act func(context.Context, *assault) error) error {
	return l.within(ctx, config, func(ctx context.Context, w *world) error {
		victim, err := w.probe(ctx)
		if err != nil {
			return err
		}
		a, err := w.attacker(ctx)
		if err != nil {
			return err
		}
		return act(ctx, &assault{w, victim, a})
	})
}

// disguises are n more visitors that the attacker is, by turns: a connection may
// take a moment to end, and no device should take over from itself all the time.
func (a *assault) disguises(ctx context.Context, n int) ([]*attacker, error) {
	all := []*attacker{a.attacker}
	for range n {
		other, err := a.world.attacker(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, other)
	}
	return all, nil
}

// versionOf is the protocol version of round n: both by turns.
func versionOf(n int) byte {
	if n%2 == 1 {
		return device.MQTT311
	}
	return device.MQTT5
}

// connect sends the attacker's CONNECT of round n, made worse, and tells whether
// it was accepted. Such a connection is closed without a word.
func (a *assault) connect(ctx context.Context, n int, worsen func(*packets.ConnectParams)) (accepted bool, err error) {
	pk := a.attacker.connectPacket(versionOf(n))
	worsen(&pk.Connect)
	c, err := a.attacker.tryConnect(ctx, pk)
	if c != nil {
		c.Close()
	}
	return c != nil, err
}
