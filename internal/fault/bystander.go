package fault

import (
	"context"
	"slices"
	"sync"
	"time"
)

// standBy runs something beside what a row does, until the world is settled: then
// its context ends.
func (w *world) standBy(ctx context.Context, run func(ctx context.Context)) {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	w.devices.Go(func() {
		defer close(ended)
		run(ctx)
	})
	w.bystanders = append(w.bystanders, func() {
		stop()
		<-ended
	})
}

// timings are how long something took, time after time. They are safe for
// concurrent use.
type timings struct {
	mu    sync.Mutex
	times []time.Duration
}

func (t *timings) add(took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.times = append(t.times, took)
}

func (t *timings) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.times)
}

// take returns the times since the last call.
func (t *timings) take() []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	times := t.times
	t.times = nil
	return times
}

// quantile returns the times since the last call, as their quantile q.
func (t *timings) quantile(q float64) time.Duration { return quantile(t.take(), q) }

func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(len(times)-1, int(q*float64(len(times))))]
}
