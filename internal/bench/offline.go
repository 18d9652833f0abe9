//go:build linux

package bench

import (
	"context"
	"time"

	"github.com/parley-chat/parley/internal/bench/peer"
	"github.com/parley-chat/parley/internal/bench/wire"
)

const (
	drainLimit = time.Minute
	// returning bounds how many connect at a time, below what mosquitto's
	// listener queues.
	returning = 64
)

// offlineQueue writes to devices that are away, and lets all return at once.
// Each has a conversation of its own. Half of the messages comes before memory is
// read first: it warms up what any traffic needs, and the other half tells what
// one more message costs.
func (s size) offlineQueue(ctx context.Context, r *rig, seed uint64) ([]float64, error) {
	all, err := r.broker.Start(ctx, s.absent, 2)
	if err != nil {
		return nil, err
	}
	if err := s.subscribeAndLeave(ctx, r, all); err != nil {
		return nil, err
	}
	const window = 4
	if err := r.publishers(ctx, all, window, 0, seed); err != nil {
		return nil, err
	}
	if err := r.enqueue(ctx, s.queuedEach/2); err != nil {
		return nil, err
	}
	before, err := r.resident(ctx, s.settle)
	if err != nil {
		return nil, err
	}
	if err := r.enqueue(ctx, s.queuedEach); err != nil {
		return nil, err
	}
	after, err := r.resident(ctx, s.settle)
	if err != nil {
		return nil, err
	}
	took, home, err := s.comeBack(ctx, r, all)
	if err != nil {
		return nil, err
	}
	queued := float64(s.absent * s.queuedEach)
	perMessage := (after - before) / (queued - float64(s.absent*(s.queuedEach/2)))
	share := func(n int) float64 { return 100 * float64(n) / queued }
	return []float64{took.Seconds(), max(perMessage, 0), share(home.late), share(home.missing), share(home.twice)}, nil
}

// subscribeAndLeave makes the sessions of the second devices.
func (s size) subscribeAndLeave(ctx context.Context, r *rig, all []peer.Conversation) error {
	_, err := dial(ctx, len(all), func(i int) (*wire.Conn, error) {
		c, err := opening{login: all[i].Devices[1], filter: all[i].Messages}.open(wire.Dial(r.broker.TCP()))
		if err != nil {
			return nil, err
		}
		return nil, c.Leave()
	})
	return err
}

// enqueue publishes on every lane up to a serial number, and returns when all
// is acknowledged.
func (r *rig) enqueue(ctx context.Context, last int) error {
	for _, l := range r.lanes {
		l.last = last
		l.fill()
	}
	return r.runUntil(ctx, drainLimit, "publish to the absent", func() bool {
		for _, l := range r.lanes {
			if l.next < last || !l.idle() {
				return false
			}
		}
		return true
	})
}

// arrivals is what the returning devices have seen together.
type arrivals struct {
	connected, complete  int
	late, twice, missing int // deliveries; missing is set at the end
}

// returner is a device that comes back to what it missed.
type returner struct {
	home *arrivals
	seen []bool // by serial number
	got  int    // different ones
	next int    // serial number
}

// Connected implements wire.Handler.
func (r *returner) Connected() { r.home.connected++ }

// Acknowledged implements wire.Handler.
func (r *returner) Acknowledged(uint16) {}

// Delivered implements wire.Handler.
func (r *returner) Delivered(payload []byte) {
	serial, ok := serialOf(payload)
	if !ok || serial >= len(r.seen) {
		return // an entry that the server made
	}
	if r.seen[serial] {
		r.home.twice++
		return
	}
	if serial < r.next {
		r.home.late++
	}
	r.next = max(r.next, serial+1)
	r.seen[serial] = true
	if r.got++; r.got == len(r.seen) {
		r.home.complete++
	}
}

// comeBack connects all devices again and waits until they have read
// everything, or nothing more has come for long.
func (s size) comeBack(ctx context.Context, r *rig, all []peer.Conversation) (time.Duration, *arrivals, error) {
	home := &arrivals{}
	var devices []*returner
	dialled := 0
	began := time.Now()
	var failure error
	err := r.loop.Run(ctx, func(now time.Time) (time.Duration, bool) {
		for ; dialled < len(all) && dialled-home.connected < returning; dialled++ {
			c, err := wire.Dial(r.broker.TCP())
			if err != nil {
				failure = err
				return 0, true
			}
			d := &returner{home: home, seen: make([]bool, s.queuedEach)}
			devices = append(devices, d)
			if failure = r.loop.Add(c, d); failure != nil {
				return 0, true
			}
			r.loop.Connect(c, all[dialled].Devices[1], false)
		}
		return time.Hour, home.complete == len(all) || now.Sub(began) > s.patience()
	})
	took := time.Since(began)
	for _, d := range devices {
		home.missing += len(d.seen) - d.got
	}
	if err == nil {
		err = failure
	}
	return took, home, err
}

// patience is how long the absent may take to read: far beyond what any broker
// needs, so that what has not come is lost.
func (s size) patience() time.Duration { return 20 * time.Second }
