package fault

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/netns"
)

const freedLimit = 90 * time.Second

// halfOpen takes devices off the network for good, one of them in the middle of
// a flood, so that the server's socket is stuck; connects as that device from
// elsewhere; and waits for the server to find out about the others.
func halfOpen(ctx context.Context, l *Lab) error {
	rounds := l.Rounds
	return l.networked(ctx, func(ctx context.Context, w *world) error {
		return w.remotes(ctx, rounds, []device.Kind{device.Raw5}, 0, func(ctx context.Context, r *remote, _ device.Kind) error {
			if err := r.network.Drop(ctx, 100, netns.Both); err != nil {
				return err
			}
			gone := time.Now()
			for range 100 { // more than the socket's buffers hold
				r.friend.Send(strings.Repeat("flood ", 10_000))
			}
			err := await(ctx, roundTimeout, func() string {
				if n := r.friend.Pending(); n > 0 {
					return fmt.Sprintf("%d messages are not acknowledged: %v", n, r.friend.Err())
				}
				return ""
			})
			if err != nil {
				return err
			}
			if err := r.comeBackElsewhere(ctx); err != nil || !w.Soak {
				return err
			}
			return r.awaitFreed(ctx, gone)
		})
	})
}

// comeBackElsewhere connects as the reader, from here, and lets it read on.
func (r *remote) comeBackElsewhere(ctx context.Context) error {
	w := r.world
	token, err := w.rest.Token(ctx, r.reader.Session)
	if err != nil {
		return err
	}
	began := time.Now()
	c, present, err := device.Connect(ctx, w.server.MQTT(), device.Options{
		Version: device.MQTT5, ClientID: r.reader.Session.ClientID(), Password: token,
	})
	if err != nil {
		return fmt.Errorf("take over from a stuck connection: %w", err)
	}
	w.result.took("CONNACK max", time.Since(began), time.Second)
	c.Close()
	if !present {
		w.result.problem("a session was gone when its device came back")
	}
	r.reader.Kill()
	d := device.NewSubscriberOf(device.Raw5, device.Endpoint{REST: w.rest, MQTT: w.server.MQTT()}, r.reader.Session, 100)
	d.Journal.Extend(r.reader.Records())
	d.Know(r.reader.Records())
	w.devices.Go(func() { d.Run(ctx) })
	w.lock.Lock()
	defer w.lock.Unlock()
	for i, known := range w.readers {
		if late, ok := known.(latecomer); ok && late.Process == r.reader {
			w.readers[i] = continued{late, d}
		}
	}
	for i, known := range w.writers {
		if known == writer(r.writer) { // it is off for good: what it has under way is nobody's
			w.writers[i] = silenced{r.writer}
		}
	}
	return nil
}

// continued is a device that was a process first and is one of ours now.
type continued struct {
	before latecomer
	*device.Subscriber
}

// Owed is what the process was owed; its journal is that of both.
func (c continued) Owed() []record { return c.before.Owed() }

// silenced is a writer of whom nothing more is to be expected.
type silenced struct{ *device.Process }

// Pending is 0.
func (silenced) Pending() int { return 0 }

// awaitFreed waits until the server has closed the writer's connection, which
// nobody takes over: until no more sessions are connected than live ones.
func (r *remote) awaitFreed(ctx context.Context, gone time.Time) error {
	w := r.world
	alive := float64(2*w.Rounds + w.residents()) // friends, and readers that came back
	return await(ctx, freedLimit+drainTimeout, func() string {
		n, err := w.metric(ctx, "parley_mqtt_connections")
		if err != nil || n > alive {
			return fmt.Sprintf("%v sessions are connected, of which %v are alive: %v", n, alive, err)
		}
		w.result.took("dead session freed", time.Since(gone), freedLimit)
		return ""
	})
}
