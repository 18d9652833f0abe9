package fault

import (
	"context"
	"fmt"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// packetIDs lets devices that write and read on one connection use the packet
// identifiers of unacknowledged deliveries, while their connections are cut.
func packetIDs(ctx context.Context, l *Lab) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		var all []*device.Collider
		for _, kind := range []device.Kind{device.Raw5, device.Raw311} {
			s, err := w.rest.Visitor(ctx, server.SiteKey, "collider")
			if err != nil {
				return err
			}
			c := device.NewCollider(kind, w.endpoint(), s, parley.NewID(parley.PrefixConversation), 30)
			c.Follow(c.Conversation, 0)
			w.streams = append(w.streams, stream{c.Conversation, s})
			w.writers, w.readers = append(w.writers, c), append(w.readers, c)
			w.devices.Go(func() { c.Run(ctx) })
			all = append(all, c)
		}
		for n := range w.Rounds {
			for _, c := range all {
				for range 110 {
					c.Send(fmt.Sprintf("round %d", n+1))
				}
			}
			target := w.acked() + w.random.Int64N(200)
			w.arm()
			if err := w.awaitAcked(ctx, target); err != nil {
				return err
			}
		}
		if err := w.drain(ctx); err != nil {
			return err
		}
		for _, c := range all {
			w.result.count("publishes under the identifier of a delivery", int(c.Collisions.Load()))
			w.result.count("subscribes under one", int(c.Subscribes.Load()))
			if n := c.Refusals.Load(); n > 0 {
				w.result.problem("%d of %d subscribes were not granted", n, c.Subscribes.Load())
			}
		}
		return nil
	})
}

// arm cuts a connection at once or somewhere in the next packets.
func (w *world) arm() {
	switch w.random.IntN(3) {
	case 0:
		w.cable.Cut()
	case 1:
		w.cable.CutAfterPublish()
	default:
		w.cable.CutAfter(w.random.Int64N(10_000))
	}
}
