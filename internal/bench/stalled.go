//go:build linux

package bench

import (
	"context"
	"time"

	"github.com/parley-chat/parley/internal/bench/wire"
)

const (
	stalledWriters = 4
	stalledReaders = 4
	// fillBytes is more than the socket buffers between a broker and a reader
	// hold.
	fillBytes = 8 << 20
	fillLimit = 3 * time.Second
)

// stalledReader measures how soon publishers are acknowledged, first among
// readers that read, then beside one more that is connected and does not.
func (s size) stalledReader(ctx context.Context, r *rig, seed uint64) ([]float64, error) {
	all, err := r.broker.Start(ctx, 1, stalledWriters+stalledReaders+1)
	if err != nil {
		return nil, err
	}
	c := all[0]
	for i := range stalledWriters {
		one := all[:1:1]
		one[0].Devices = c.Devices[i:]
		if err := r.publishers(ctx, one, maxUnderWay, 0, seed+uint64(i)); err != nil {
			return nil, err
		}
	}
	readers := c.Devices[stalledWriters : stalledWriters+stalledReaders]
	if err := r.subscribers(ctx, c, readers, nil); err != nil {
		return nil, err
	}
	if err := s.fillUp(ctx, r); err != nil { // the same past for both
		return nil, err
	}
	without, err := s.paced99(ctx, r)
	if err != nil {
		return nil, err
	}
	stalled, err := opening{login: c.Devices[len(c.Devices)-1], filter: c.Messages}.open(wire.Dial(r.broker.TCP()))
	if err != nil {
		return nil, err
	}
	defer stalled.Close()
	if err := s.fillUp(ctx, r); err != nil {
		return nil, err
	}
	with, err := s.paced99(ctx, r)
	if err != nil {
		return nil, err
	}
	return []float64{without, with, with / max(without, 0.001)}, nil
}

// fillUp publishes until the stalled reader's buffers are full, or the broker
// has stopped taking more, and waits until the others have read it. A broker
// that drops what they should have had makes it wait in vain, but not for long.
func (s size) fillUp(ctx context.Context, r *rig) error {
	end := time.Now().Add(min(fillLimit, 10*s.counted))
	target := fillBytes / payloadBytes / len(r.lanes)
	for _, l := range r.lanes {
		l.last = l.next + target
		l.fill()
	}
	return r.loop.Run(ctx, func(now time.Time) (time.Duration, bool) {
		full, published := true, 0
		for _, l := range r.lanes {
			full = full && l.next >= l.last && l.idle()
			published += l.next
		}
		for _, reader := range r.readers {
			full = full && reader.got >= published
		}
		return end.Sub(now), full || now.After(end)
	})
}

// paced99 returns the 99th percentile, in milliseconds, of a paced load.
func (s size) paced99(ctx context.Context, r *rig) (float64, error) {
	if err := r.pace(ctx, s.rate, 2*s.warm); err != nil {
		return 0, err
	}
	r.tally.latencies = nil
	if err := r.count(func() error { return r.pace(ctx, s.rate, s.paced) }); err != nil {
		return 0, err
	}
	_, p99 := r.latencies()
	return p99, nil
}
