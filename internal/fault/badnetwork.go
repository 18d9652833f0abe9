package fault

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/netns"
)

const (
	badVigil    = 2 * time.Second // a link may be that slow and still be one
	badCaughtUp = 10 * time.Second
)

// weather is one way for a network to be bad, for some time.
type weather struct {
	name        string
	short, long time.Duration // short 0: not in a test
	begin       func(context.Context, *netns.Namespace) error
	flaps       time.Duration // how long it is on and off by turns, 0 for all the time
}

func weathers() []weather {
	drop := func(percent, directions int) func(context.Context, *netns.Namespace) error {
		return func(ctx context.Context, n *netns.Namespace) error { return n.Drop(ctx, percent, directions) }
	}
	return []weather{
		{"flapping", 3500 * time.Millisecond, 120 * time.Second, drop(100, netns.Both), 3 * time.Second},
		{"30 % loss", time.Second, 20 * time.Second, drop(30, netns.Both), 0},
		{"nothing gets up", 0, 10 * time.Second, drop(100, netns.Up), 0},
		{"nothing comes down", time.Second, 10 * time.Second, drop(100, netns.Down), 0},
		{"32 kbit/s", 0, 20 * time.Second, func(ctx context.Context, n *netns.Namespace) error { return n.Narrow(ctx, 32) }, 0},
	}
}

// badNetwork goes through bad networks of every kind while both sides talk.
func badNetwork(ctx context.Context, l *Lab) error {
	kinds := []device.Kind{device.Web, device.Paho, device.Raw5}
	rounds := l.Rounds
	l.result.Rounds = 0
	return l.networked(ctx, func(ctx context.Context, w *world) error {
		before, err := w.metric(ctx, "parley_mqtt_connects_total")
		if err != nil {
			return err
		}
		began := time.Now()
		err = w.remotes(ctx, rounds, kinds, badVigil, func(ctx context.Context, r *remote, kind device.Kind) error {
			for _, bad := range weathers() {
				if err := r.suffer(ctx, bad, kind); err != nil {
					return fmt.Errorf("%s: %w", bad.name, err)
				}
			}
			return r.move(ctx, kind)
		})
		if err != nil {
			return err
		}
		after, err := w.metric(ctx, "parley_mqtt_connects_total")
		if err != nil {
			return err
		}
		clients := float64(rounds * 5) // the TypeScript client is one, the others are two
		w.result.measure("connects for each client", (after-before)/clients/time.Since(began).Seconds(), "/s", 1)
		return w.farAway(ctx)
	})
}

// suffer lets both sides talk in bad weather, and measures from its end until
// both have everything.
func (r *remote) suffer(ctx context.Context, bad weather, kind device.Kind) error {
	d := bad.short
	if r.world.Soak {
		d = bad.long
	}
	if d == 0 {
		return nil
	}
	end := time.Now().Add(d)
	for on := true; time.Now().Before(end); on = !on {
		turn := time.Until(end)
		if bad.flaps > 0 {
			turn = min(turn, bad.flaps)
		}
		err := r.network.Heal(ctx)
		if on {
			err = bad.begin(ctx, r.network)
		}
		if err == nil {
			err = r.talk(ctx, turn)
		}
		if err != nil {
			return err
		}
	}
	if err := r.network.Heal(ctx); err != nil {
		return err
	}
	return r.measure(ctx, bad.name, kind)
}

// talk lets both sides say something now and then.
func (r *remote) talk(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		r.friend.Send("the line is bad")
		if err := r.writer.Send(1); err != nil {
			return err
		}
		if err := sleep(ctx, min(talkEvery, max(0, time.Until(end)))); err != nil {
			return err
		}
	}
	return nil
}

// measure waits until both sides have everything.
func (r *remote) measure(ctx context.Context, name string, kind device.Kind) error {
	took, err := r.caughtUp(ctx, time.Now(), drainTimeout)
	if err != nil {
		return err
	}
	r.world.Log.Debug("complete", "after", name, "kind", kind, "took", took)
	r.world.result.took("complete after "+name, took, badCaughtUp)
	r.world.result.took(string(kind)+" max", took, badCaughtUp)
	r.world.lock.Lock()
	defer r.world.lock.Unlock()
	r.world.result.Rounds++
	return nil
}

// move gives the machine another address, as a phone that leaves its Wi-Fi.
func (r *remote) move(ctx context.Context, kind device.Kind) error {
	if err := r.network.Address(ctx, 77); err != nil {
		return err
	}
	r.friend.Send("where are you?")
	if err := r.writer.Send(1); err != nil {
		return err
	}
	return r.measure(ctx, "an address change", kind)
}

// farAway lets a device of each kind write and read over 800 ms there and back.
func (w *world) farAway(ctx context.Context) error {
	e := w.endpoint()
	for _, kind := range []device.Kind{device.Raw5, device.Paho, device.Raw311} {
		p, err := w.visitor(ctx, kind, e, 20)
		if err != nil {
			return err
		}
		s, err := w.rest.SameVisitor(ctx, "demo-key", p.Session)
		if err != nil {
			return err
		}
		d, err := w.subscribe(ctx, kind, s, e)
		if err != nil {
			return err
		}
		d.Follow(p.Conversation, 2) // the conversation's opening and the first message came before
	}
	w.cable.SetLatency(400 * time.Millisecond)
	defer w.cable.SetLatency(0)
	w.cable.Cut() // connecting takes as long
	w.write(20)
	began := time.Now()
	if err := w.drain(ctx); err != nil {
		return err
	}
	heads, err := w.heads(ctx)
	if err != nil {
		return err
	}
	if err := w.awaitShown(ctx, heads, drainTimeout); err != nil {
		return err
	}
	w.result.took("complete over 800 ms", time.Since(began), badCaughtUp)
	return nil
}
