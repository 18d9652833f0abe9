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

// busyCollector makes the server's garbage collector run at every tenth more in
// use: what grows then is what is kept, and not what waits to be collected.
const busyCollector = "GOGC=10"

// retained publishes with the retain flag on every topic that it can think of,
// also with an empty payload, which elsewhere deletes what is retained. Memory
// is measured from when it has become level, as caches with a bound let it.
func retained(ctx context.Context, l *Lab) error {
	config := server.Config{Env: []string{server.DemoSite, busyCollector}}
	return l.assault(ctx, config, func(ctx context.Context, a *assault) error {
		before, err := a.level(ctx)
		if err != nil {
			return err
		}
		if err := a.poison(ctx, a.Rounds); err != nil {
			return err
		}
		a.result.count("refused from then on", a.Rounds)
		if err := a.growth(before, 5*mib); err != nil {
			return err
		}
		return a.victim.nothingRetained(ctx)
	})
}

const (
	levelWithin = mib // by which the memory may grow in each of two stretches to be level
	levelAfter  = 15  // stretches at most
)

// level poisons, a fifth of the rounds at a time, until the server's memory does
// not grow any more, and returns how much that is in bytes.
func (a *assault) level(ctx context.Context) (int64, error) {
	stretch := max(1, a.Rounds/5)
	before, err := a.rss()
	if err != nil {
		return 0, err
	}
	most, calm := before, 0
	for n := 0; n < levelAfter && calm < 2; n++ {
		if err := a.poison(ctx, stretch); err != nil {
			return 0, err
		}
		a.result.count("refused until memory was level", stretch)
		now, err := a.rss()
		if err != nil {
			return 0, err
		}
		if calm++; now > most+levelWithin {
			calm = 0
		}
		most = max(most, now)
	}
	a.result.measure("RSS grown until then by", float64(most-before)/mib, "MiB", 0)
	return most, nil
}

const poisonWindow = 50

// poison sends n retained publishes and expects each to be refused. What ends
// the connection is refused too.
func (a *assault) poison(ctx context.Context, n int) error {
	c, err := a.attacker.connect(ctx, device.MQTT5)
	if err != nil {
		return err
	}
	defer func() { c.Close() }()
	targets := a.topics()
	flight := 0
	for i := range n {
		pk := &packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1, Retain: true},
			PacketID:    uint16(i%60_000 + 1), TopicName: a.poisoned(targets, i), Payload: []byte(`{"status":"poisoned"}`),
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
		next, err := a.attacker.connect(ctx, device.MQTT5)
		if err != nil {
			return fmt.Errorf("connect after a refused publish: %w", err)
		}
		c, flight = next, 0
	}
	return nil
}

// poisoned is the topic of the i-th publish: mostly new ones, now and then one
// of somebody else.
func (a *assault) poisoned(targets []string, i int) string {
	switch kinds := [...]string{"send", "messages", "state"}; {
	case i%20 == 7:
		return targets[0]
	case i%20 == 14:
		return targets[2]
	default:
		return a.attacker.session.Topic(parley.TopicKind(kinds[i%3]), parley.NewID(parley.PrefixConversation))
	}
}

func (a *assault) awaitRefusals(c *device.Conn, n int) error {
	socket, _ := c.Raw()
	_ = socket.SetReadDeadline(time.Now().Add(probeLimit)) // fails only on a closed socket
	for range n {
		pk, err := c.Read()
		if err != nil {
			return err
		}
		if pk.FixedHeader.Type == packets.Puback && pk.ReasonCode < 0x80 {
			a.result.problem("a retained publish was accepted")
		}
	}
	return nil
}
