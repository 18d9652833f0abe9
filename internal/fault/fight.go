package fault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
)

const (
	fightTime      = 10 * time.Second
	fightEvery     = 50 * time.Millisecond // between the logins of a storm
	takeoversLimit = 1                     // a second
)

// fights lets connections of one device take over from each other, and measures
// how often that happens. A client that behaves stops when it is told; these do
// not.
func (a *assault) fights(ctx context.Context) error {
	duration := fightTime
	if !a.Soak {
		duration /= 5
	}
	for _, f := range []fight{
		{name: "two that reconnect at once", fighters: 2},
		{name: "20 logins a second", fighters: 40, pause: 40 * fightEvery},
	} {
		began := time.Now()
		fighting, stop := context.WithTimeout(ctx, duration)
		accepted := a.fight(fighting, f)
		stop()
		if err := ctx.Err(); err != nil {
			return err
		}
		// The first login takes over from nobody, and the second may do so at once.
		rate := float64(max(0, accepted-2)) / time.Since(began).Seconds()
		a.result.measure("takeovers of the own device, "+f.name, rate, "/s", takeoversLimit)
		if err := a.settled(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fight is how a device fights with itself: so many of it, each of which pauses
// between its logins.
type fight struct {
	name     string
	fighters int
	pause    time.Duration
}

// fight returns how many logins were accepted until ctx ended.
func (a *assault) fight(ctx context.Context, f fight) int64 {
	var accepted atomic.Int64
	var all sync.WaitGroup
	for n := range f.fighters {
		all.Go(func() {
			if sleep(ctx, f.pause*time.Duration(n)/time.Duration(f.fighters)) != nil {
				return
			}
			for ctx.Err() == nil {
				next := time.Now().Add(f.pause)
				if c, err := a.attacker.connect(ctx, versionOf(n)); err == nil {
					accepted.Add(1)
					hold(ctx, c)
				}
				_ = sleep(ctx, time.Until(next)) // the loop sees the end, too
			}
		})
	}
	all.Wait()
	return accepted.Load()
}

// hold keeps the connection until it or ctx ends.
func hold(ctx context.Context, c *device.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	for {
		if pk, err := c.Read(); err != nil || pk.FixedHeader.Type == packets.Disconnect {
			return
		}
	}
}

// settled expects that the device gets a connection soon when the fight is over,
// and keeps it.
func (a *assault) settled(ctx context.Context) error {
	began := time.Now()
	var c *device.Conn
	err := await(ctx, setupTimeout, func() string {
		var err error
		if c, err = a.attacker.connect(ctx, device.MQTT5); err != nil {
			return fmt.Sprintf("a device that fought with itself does not get in: %v", err)
		}
		return ""
	})
	if err != nil {
		return err
	}
	defer c.Close()
	a.result.took("settled after a fight", time.Since(began), 10*time.Second)
	if err := c.Subscribe(1, a.attacker.session.Topic(parley.TopicMessages, parley.Any)); err != nil {
		return fmt.Errorf("the last connection of a device: %w", err)
	}
	pk, err := c.Read()
	if err == nil && pk.FixedHeader.Type != packets.Suback {
		err = errors.New(packets.PacketNames[pk.FixedHeader.Type])
	}
	if err != nil {
		a.result.problem("the last connection of a device that fought with itself is dead: %v", err)
	}
	return nil
}
