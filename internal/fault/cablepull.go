package fault

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/netns"
)

// pullVigil is how the devices of this row watch their connections: a sign of
// life is asked for every second, and missed after three.
const pullVigil = time.Second

const (
	caughtUpP99 = 2 * time.Second
	caughtUpMax = 3 * time.Second
	talkEvery   = 200 * time.Millisecond
	talkMost    = 900         // messages in one pull: one user may publish 1,000 at once
	rest        = time.Second // between two pulls, so that one does not feel the other
)

// cablePull pulls real cables, of our TypeScript client, of paho and of the raw
// client, and measures from their being back until everything is shown and
// acknowledged that was said meanwhile on both sides.
func cablePull(ctx context.Context, l *Lab) error {
	kinds := []device.Kind{device.Web, device.Paho, device.Raw5}
	pulls, namespaces := []time.Duration{5 * time.Second}, 1
	if l.Soak {
		pulls, namespaces = []time.Duration{60 * time.Second, 31 * time.Second, 20 * time.Second, 5 * time.Second}, 13
	}
	jobs := map[device.Kind]chan time.Duration{}
	for _, kind := range kinds {
		queue := make(chan time.Duration, len(pulls)*l.Rounds+1)
		if l.Rounds >= 20 {
			queue <- 300 * time.Second
		}
		for _, d := range pulls {
			for range l.Rounds {
				queue <- d
			}
		}
		close(queue)
		jobs[kind] = queue
	}
	namespaces = min(namespaces, len(pulls)*l.Rounds)
	times := &recoveries{of: map[device.Kind][]time.Duration{}}
	err := l.networked(ctx, func(ctx context.Context, w *world) error {
		return w.remotes(ctx, namespaces, kinds, pullVigil, func(ctx context.Context, r *remote, kind device.Kind) error {
			for d := range jobs[kind] {
				took, err := r.pull(ctx, d)
				if err != nil {
					return fmt.Errorf("pulled for %v: %w", d, err)
				}
				w.Log.Debug("back", "kind", kind, "pulled", d, "caught up", took)
				times.add(kind, took)
			}
			return nil
		})
	})
	l.result.Rounds = 0
	for _, kind := range kinds {
		all := times.of[kind]
		l.result.Rounds += len(all)
		l.result.took(string(kind)+" p99", quantile(all, 0.99), caughtUpP99)
		l.result.took("max", quantile(all, 1), caughtUpMax)
	}
	return err
}

// recoveries are how long it took to catch up.
type recoveries struct {
	mu sync.Mutex
	of map[device.Kind][]time.Duration
}

func (t *recoveries) add(kind device.Kind, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of[kind] = append(slices.Clone(t.of[kind]), d)
}

// pull takes the cable out while both sides talk, and measures how long it
// takes after it is back until both have everything.
func (r *remote) pull(ctx context.Context, d time.Duration) (time.Duration, error) {
	if err := sleep(ctx, rest); err != nil {
		return 0, err
	}
	if err := r.network.Drop(ctx, 100, netns.Both); err != nil {
		return 0, err
	}
	pause := max(talkEvery, d/talkMost)
	for began := time.Now(); time.Since(began) < d; {
		r.friend.Send("are you still there?")
		if err := r.writer.Send(1); err != nil {
			return 0, err
		}
		if err := sleep(ctx, min(pause, max(0, d-time.Since(began)))); err != nil {
			return 0, err
		}
	}
	if err := r.network.Heal(ctx); err != nil {
		return 0, err
	}
	back := time.Now()
	return r.caughtUp(ctx, back, drainTimeout)
}
