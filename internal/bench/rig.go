//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	"github.com/parley-chat/parley/internal/bench/peer"
	"github.com/parley-chat/parley/internal/bench/wire"
)

// rig is a broker under load.
type rig struct {
	broker  peer.Broker
	loop    *wire.Loop
	tally   *tally
	lanes   []*lane
	readers []*reader
	cpu     time.Duration // of the broker while counting
	own     time.Duration // and of this process
	took    time.Duration // of the counting
}

func newRig(b peer.Broker) (*rig, error) {
	loop, err := wire.NewLoop()
	if err != nil {
		return nil, err
	}
	return &rig{broker: b, loop: loop, tally: &tally{epoch: time.Now()}}, nil
}

func (r *rig) close() { r.loop.Close() }

// dialers is how many connections are made at a time.
const dialers = 8

// dial makes n connections, a few at a time.
func dial(ctx context.Context, n int, open func(i int) (*wire.Conn, error)) ([]*wire.Conn, error) {
	conns := make([]*wire.Conn, n)
	errs := make([]error, dialers)
	var wg sync.WaitGroup
	for d := range dialers {
		wg.Go(func() {
			for i := d; i < n && errs[d] == nil; i += dialers {
				if conns[i], errs[d] = open(i); errs[d] == nil {
					errs[d] = context.Cause(ctx)
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		hangUp(conns)
		return nil, err
	}
	return conns, nil
}

func hangUp(conns []*wire.Conn) {
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
}

// opening says how a connection is made.
type opening struct {
	login  wire.Login
	clean  bool
	filter string // to subscribe to, none if empty
}

// open logs in and subscribes on a connection that was just made, or was not.
func (o opening) open(c *wire.Conn, err error) (*wire.Conn, error) {
	if err != nil {
		return nil, err
	}
	if err = c.Connect(o.login, o.clean); err == nil && o.filter != "" {
		err = c.Subscribe(o.filter)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// attach opens connections and adds them to the loop.
func (r *rig) attach(ctx context.Context, all []opening, handler func(i int, c *wire.Conn) wire.Handler) error {
	conns, err := dial(ctx, len(all), func(i int) (*wire.Conn, error) { return all[i].open(wire.Dial(r.broker.TCP())) })
	if err != nil {
		return err
	}
	for i, c := range conns {
		if err := r.loop.Add(c, handler(i, c)); err != nil {
			hangUp(conns[i:])
			return err
		}
	}
	return nil
}

// publishers lets the first device of each conversation publish, with so many
// under way.
func (r *rig) publishers(ctx context.Context, all []peer.Conversation, window, readers int, seed uint64) error {
	openings := make([]opening, len(all))
	for i, c := range all {
		openings[i] = opening{login: c.Devices[0], clean: true}
	}
	return r.attach(ctx, openings, func(i int, c *wire.Conn) wire.Handler {
		l := newLane(r.loop, c, all[i].Send, window, readers, seed+uint64(i), r.tally)
		r.lanes = append(r.lanes, l)
		return l
	})
}

// subscribers lets devices of a conversation read, as devices that may be away:
// with sessions that are kept.
func (r *rig) subscribers(ctx context.Context, c peer.Conversation, devices []wire.Login, l *lane) error {
	openings := make([]opening, len(devices))
	for i, d := range devices {
		openings[i] = opening{login: d, filter: c.Messages}
	}
	return r.attach(ctx, openings, func(int, *wire.Conn) wire.Handler {
		one := &reader{tally: r.tally, lane: l}
		r.readers = append(r.readers, one)
		return one
	})
}

// run works for a while.
func (r *rig) run(ctx context.Context, d time.Duration) error {
	end := time.Now().Add(d)
	return r.loop.Run(ctx, func(now time.Time) (time.Duration, bool) { return end.Sub(now), !now.Before(end) })
}

// runUntil works until done is, and fails when that takes too long.
func (r *rig) runUntil(ctx context.Context, limit time.Duration, what string, done func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s: not within %s", what, limit))
	defer cancel()
	return r.loop.Run(ctx, func(time.Time) (time.Duration, bool) { return time.Hour, done() })
}

// flood keeps every lane full: for warm uncounted, then counted for d.
func (r *rig) flood(ctx context.Context, warm, d time.Duration) error {
	for _, l := range r.lanes {
		l.last = math.MaxInt
		l.fill()
	}
	if err := r.run(ctx, warm); err != nil {
		return err
	}
	return r.count(func() error { return r.run(ctx, d) })
}

// pace publishes at a rate, the lanes in turn, whatever comes back.
func (r *rig) pace(ctx context.Context, perSecond int, d time.Duration) error {
	interval := time.Second / time.Duration(perSecond)
	due := time.Now()
	end, n := due.Add(d), 0
	return r.loop.Run(ctx, func(now time.Time) (time.Duration, bool) {
		for ; !due.After(now) && due.Before(end); n++ {
			r.lanes[n%len(r.lanes)].offer()
			due = due.Add(interval)
		}
		return due.Sub(now), !now.Before(end)
	})
}

// count counts what happens in work.
func (r *rig) count(work func() error) error {
	before, err := cpuTime(r.broker.PID())
	if err != nil {
		return err
	}
	own, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	began := time.Now()
	r.tally.counting = true
	err = work()
	r.tally.counting = false
	r.took = time.Since(began)
	if err != nil {
		return err
	}
	after, err := cpuTime(r.broker.PID())
	if err != nil {
		return err
	}
	ownAfter, err := cpuTime(os.Getpid())
	r.cpu, r.own = after-before, ownAfter-own
	return err
}

// ownCPU is how much of one core the load took, in percent: near 100 it is what
// limits the rate.
func (r *rig) ownCPU() float64 { return 100 * float64(r.own) / float64(max(r.took, 1)) }

// cpuMicros is the broker's CPU time for one of n, in microseconds.
func (r *rig) cpuMicros(n int) float64 {
	return float64(r.cpu) / float64(time.Microsecond) / float64(max(n, 1))
}

// resident returns the memory that the broker holds, in bytes, when it has had
// time to settle.
func (r *rig) resident(ctx context.Context, settle time.Duration) (float64, error) {
	if err := r.run(ctx, settle); err != nil {
		return 0, err
	}
	bytes, err := residentBytes(r.broker.PID())
	return float64(bytes), err
}
