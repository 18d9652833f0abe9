//go:build linux

package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// scenario is a load that every broker gets.
type scenario struct {
	name    string
	figures []figure
	once    bool // takes long, and comes out alike every time
	run     func(ctx context.Context, r *rig, seed uint64) ([]float64, error)
}

// figure is one result of a scenario.
type figure struct {
	name string
	unit Unit
}

const (
	idleConnections = 10_000
	openFiles       = idleConnections + 2_000
)

// size is how big the loads are.
type size struct {
	pairs, window      int
	rate               int // messages a second where the pace is given
	fanOut             []int
	idle               int
	absent, queuedEach int
	queuedLong         int // instead of queuedEach, where memory counts: more than bounded caches hold
	warm, counted      time.Duration
	paced              time.Duration // counted, where the pace is given
	settle             time.Duration // before memory is read
}

func sizeOf(quick bool) size {
	if quick {
		return size{
			pairs: 3, window: 4, rate: 200, fanOut: []int{5}, idle: 20, absent: 6, queuedEach: 40, queuedLong: 80,
			warm: 50 * time.Millisecond, counted: 150 * time.Millisecond, paced: 200 * time.Millisecond, settle: 50 * time.Millisecond,
		}
	}
	return size{
		pairs: 50, window: 20, rate: 2000, fanOut: []int{100, 1000}, idle: idleConnections, absent: 1000, queuedEach: 100, queuedLong: 1200,
		warm: 500 * time.Millisecond, counted: 2500 * time.Millisecond, paced: 4 * time.Second, settle: time.Second,
	}
}

// scenarios are all loads, in the order of the table.
func scenarios(quick bool) []scenario {
	s := sizeOf(quick)
	all := []scenario{{
		name:    fmt.Sprintf("%d:%d, %d under way each", s.pairs, s.pairs, s.window),
		figures: []figure{{"messages", PerSecond}, {"server CPU per message", Micros}, {"of a core used by the load", Percent}},
		run:     s.pairsAtFullSpeed,
	}, {
		name:    fmt.Sprintf("%d:%d at %d/s", s.pairs, s.pairs, s.rate),
		figures: []figure{{"PUBACK p50", Millis}, {"PUBACK p99", Millis}, {"server CPU per message", Micros}},
		run:     s.pairsAtPace,
	}, {
		name:    "this disk, with no broker",
		figures: []figure{{"fdatasync p50", Millis}, {"fdatasync p99", Millis}},
		run:     s.diskAlone,
	}}
	for _, n := range s.fanOut {
		for _, window := range []int{1, 8} {
			all = append(all, scenario{
				name:    fmt.Sprintf("1→%d, %d under way", n, window),
				figures: []figure{{"deliveries", PerSecond}, {"server CPU per delivery", Micros}, {"of a core used by the load", Percent}},
				run:     s.fan(n, window),
			})
		}
	}
	long := s
	long.queuedEach = s.queuedLong
	return append(all, scenario{
		name:    fmt.Sprintf("%d idle on TCP", s.idle),
		figures: []figure{{"memory per connection", KiB}},
		once:    true,
		run:     s.idleTCP,
	}, scenario{
		name:    fmt.Sprintf("%d idle on WebSocket", s.idle),
		figures: []figure{{"memory per connection", KiB}},
		once:    true,
		run:     s.idleWebSocket,
	}, s.offline(), long.offline(), scenario{
		name:    fmt.Sprintf("a stalled reader, at %d/s", s.rate),
		figures: []figure{{"PUBACK p99 without it", Millis}, {"PUBACK p99 with it", Millis}, {"with ÷ without", Times}},
		run:     s.stalledReader,
	})
}

// offline is the queue of devices that are away. The long one takes its time.
func (s size) offline() scenario {
	return scenario{
		name: fmt.Sprintf("%d messages to %d absent devices", s.absent*s.queuedEach, s.absent),
		figures: []figure{
			{"all are back and have read", Seconds}, {"memory per queued message", Bytes},
			{"out of order", Percent}, {"missing", Percent}, {"twice", Percent},
		},
		once: s.queuedEach == s.queuedLong,
		run:  s.offlineQueue,
	}
}

// connectPairs starts the broker with one publisher and one subscriber in each
// of s.pairs conversations.
func (s size) connectPairs(ctx context.Context, r *rig, window, readers int, seed uint64) error {
	all, err := r.broker.Start(ctx, s.pairs, 2)
	if err != nil {
		return err
	}
	if err := r.publishers(ctx, all, window, readers, seed); err != nil {
		return err
	}
	for i, c := range all {
		if err := r.subscribers(ctx, c, c.Devices[1:], r.lanes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s size) pairsAtFullSpeed(ctx context.Context, r *rig, seed uint64) ([]float64, error) {
	if err := s.connectPairs(ctx, r, s.window, 1, seed); err != nil {
		return nil, err
	}
	if err := r.flood(ctx, s.warm, s.counted); err != nil {
		return nil, err
	}
	n := min(r.tally.acked, r.tally.delivered)
	return []float64{float64(n) / r.took.Seconds(), r.cpuMicros(n), r.ownCPU()}, r.inOrder()
}

func (s size) pairsAtPace(ctx context.Context, r *rig, seed uint64) ([]float64, error) {
	if err := s.connectPairs(ctx, r, maxUnderWay, 0, seed); err != nil {
		return nil, err
	}
	if err := r.pace(ctx, s.rate, s.warm); err != nil {
		return nil, err
	}
	err := r.count(func() error { return r.pace(ctx, s.rate, s.paced) })
	if err != nil {
		return nil, err
	}
	p50, p99 := r.latencies()
	return []float64{p50, p99, r.cpuMicros(r.tally.acked)}, r.inOrder()
}

// maxUnderWay is how many messages a publisher may have under way where the
// pace is given: what parley announces.
const maxUnderWay = 64

func (s size) fan(n, window int) func(context.Context, *rig, uint64) ([]float64, error) {
	return func(ctx context.Context, r *rig, seed uint64) ([]float64, error) {
		all, err := r.broker.Start(ctx, 1, 1+n)
		if err != nil {
			return nil, err
		}
		if err := r.publishers(ctx, all, window, n, seed); err != nil {
			return nil, err
		}
		if err := r.subscribers(ctx, all[0], all[0].Devices[1:], r.lanes[0]); err != nil {
			return nil, err
		}
		if err := r.flood(ctx, s.warm, s.counted); err != nil {
			return nil, err
		}
		return []float64{float64(r.tally.delivered) / r.took.Seconds(), r.cpuMicros(r.tally.delivered), r.ownCPU()}, r.inOrder()
	}
}

// inOrder fails when a broker has broken its promise to a subscriber that was
// always there. Of the others it is no figure either: they hardly ever do.
func (r *rig) inOrder() error {
	if r.tally.disorder > 0 && r.broker.Ordered() {
		return fmt.Errorf("%d deliveries came twice or out of order", r.tally.disorder)
	}
	return nil
}

// latencies returns percentiles in milliseconds, over what was acknowledged
// while counting and what still was not at the end.
func (r *rig) latencies() (p50, p99 float64) {
	for _, l := range r.lanes {
		l.unanswered()
	}
	all := r.tally.latencies
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	at := func(percent int) float64 { return float64(all[(len(all)-1)*percent/100]) / 1000 }
	return at(50), at(99)
}
