package fault

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/proxy"
	"github.com/parley-chat/parley/internal/fault/server"
)

// Loop does something bad again and again while visitors write and an agent's
// two devices read.
type Loop struct {
	Binary     string // of parley, see server.Build
	Data       string // an empty folder
	Rounds     int    // how many faults
	Publishers int    // visitors, each in a conversation of its own; every second one is paho
	Window     int    // messages that each has under way
	Batch      int    // messages that each adds in each round
	Seed       uint64 // of what is done when
	Log        *slog.Logger
}

// How long to wait for what should take moments: long enough for a slow
// machine, short enough to tell what hangs.
const (
	setupTimeout = 30 * time.Second
	roundTimeout = 20 * time.Second
	drainTimeout = 60 * time.Second
	poll         = 5 * time.Millisecond
)

// fault is one way to harm a run.
type fault struct {
	name   string
	inject func(ctx context.Context, r *run) error
}

// run makes the rounds, lets everybody catch up, and judges what was written
// down. An error means that the run could not be made or did not come to an
// end; what the server did wrong is in the report. No process and no goroutine
// is left behind.
func (l Loop) run(ctx context.Context, f fault) (*Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := server.New(server.Config{Binary: l.Binary, Data: l.Data, Env: []string{server.DemoSite}})
	if err != nil {
		return nil, err
	}
	defer s.Kill()
	cable, err := proxy.Listen(ctx, s.MQTT())
	if err != nil {
		return nil, err
	}
	defer cable.Close()
	r := &run{Loop: l, server: s, cable: cable, rest: device.NewREST(s.URL()), random: rand.New(rand.NewPCG(l.Seed, 0))}
	defer r.rest.Close()
	defer r.devices.Wait()
	defer cancel()

	began := time.Now()
	streams, err := r.make(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("%s, seed %#x: %w\n%s", f.name, l.Seed, err, s.Stderr())
	}
	result := r.judge(streams)
	result.Fault, result.Took = f.name, time.Since(began)
	return result, nil
}

func (r *run) make(ctx context.Context, f fault) ([]checker.Stream, error) {
	if err := r.server.Start(ctx); err != nil {
		return nil, err
	}
	if err := r.setUp(ctx); err != nil {
		return nil, fmt.Errorf("set up: %w", err)
	}
	for n := range r.Rounds {
		if err := r.load(ctx, n); err != nil {
			return nil, fmt.Errorf("round %d: %w", n+1, err)
		}
		if err := f.inject(ctx, r); err != nil {
			return nil, fmt.Errorf("round %d: %w", n+1, err)
		}
		r.Log.Info("round made", "fault", f.name, "round", n+1, "acked", r.acked())
	}
	return r.drain(ctx)
}

// load adds messages and returns somewhere in the middle of them, at a moment
// that the seed chooses: anywhere in the life of a message, and in half of the
// rounds after a pause in which devices catch up.
func (r *run) load(ctx context.Context, n int) error {
	target := r.acked() + 1 + r.random.Int64N(int64(r.Publishers*r.Batch*3/4))
	for _, p := range r.publishers {
		for i := range r.Batch {
			p.Send(fmt.Sprintf("round %d, message %d: 你好, is my order on its way?", n+1, i+1))
		}
	}
	err := await(ctx, roundTimeout, func() string {
		if acked := r.acked(); acked < target {
			return fmt.Sprintf("%d messages are acknowledged, waiting for %d: %v", acked, target, r.trouble())
		}
		return ""
	})
	if err != nil {
		return err
	}
	pause := 5 * time.Millisecond
	if r.random.IntN(2) == 0 {
		pause = 150 * time.Millisecond
	}
	return r.pause(ctx, pause)
}

// pause waits for a random time below limit.
func (r *run) pause(ctx context.Context, limit time.Duration) error {
	return sleep(ctx, time.Duration(r.random.Int64N(int64(limit))))
}
