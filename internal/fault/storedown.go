package fault

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/parley-chat/parley/internal/fault/server"
)

// outage is how long a database is away in a round of storeDown.
func (l *Lab) outage(round int) time.Duration {
	switch {
	case !l.Soak || round == 0:
		return time.Second
	case round == 2:
		return 10 * time.Minute
	default:
		return time.Minute
	}
}

const (
	drainedLimit = 10 * time.Second
	noticeLimit  = 5 * time.Second // until /readyz says so: as long as an operation may take
	outageRSS    = 200 * mib
	lookEvery    = 50 * time.Millisecond
)

// backlog is how many messages wait for a database that is away.
func (l *Lab) backlog() int {
	if l.Soak {
		return 1000
	}
	return 100
}

// storeDown takes the database away in every way while messages are written, and gives
// it back, each time in a world of its own.
func storeDown(ctx context.Context, l *Lab) error {
	for n := range l.Rounds {
		for _, mood := range []string{"refuse", "reset", "no-primary"} {
			err := l.withCrew(ctx, func(ctx context.Context, w *world) error { return w.downFor(ctx, mood, w.outage(n)) })
			if err != nil {
				return fmt.Errorf("%s for %v: %w", mood, l.outage(n), err)
			}
		}
	}
	return nil
}

// withCrew is within, with the readers of the loops, and with many writers: one entry of
// a conversation is written after the other.
func (l *Lab) withCrew(ctx context.Context, act func(context.Context, *world) error) error {
	writers := everyKind[:]
	if l.Soak {
		writers = slices.Repeat(writers, 5)
	}
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		if err := w.crew(ctx, bothReaders[:], writers, 50); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		return act(ctx, w)
	})
}

func (w *world) downFor(ctx context.Context, mood string, outage time.Duration) error {
	if err := w.drain(ctx); err != nil {
		return err
	}
	before, err := w.rss()
	if err != nil {
		return err
	}
	if err := w.store.Turn(mood); err != nil {
		return err
	}
	acked := w.acked()
	w.write(w.backlog() / len(w.publishers))
	if err := w.watchOutage(ctx, mood, outage, before); err != nil {
		return err
	}
	if now := w.acked(); now != acked {
		w.result.problem("%s: %d messages were acknowledged without a store", mood, now-acked)
	}
	if err := w.store.Turn("fine"); err != nil {
		return err
	}
	began := time.Now()
	if err := w.awaitBack(ctx); err != nil {
		return err
	}
	if err := w.drain(ctx); err != nil {
		return err
	}
	w.result.took("backlog drained max", time.Since(began), drainedLimit)
	return nil
}

// watchOutage looks at a server without a store until the time is over: at its memory,
// and whether it says that it is not ready.
func (w *world) watchOutage(ctx context.Context, mood string, outage time.Duration, before int64) error {
	said := false
	for began := time.Now(); time.Since(began) < outage; {
		ready := w.server.Ready(ctx)
		if !ready && !said {
			said = true
			w.result.took("not ready after max", time.Since(began), noticeLimit)
		}
		if ready && said {
			w.result.problem("%s: ready again without a store", mood)
			said = false
		}
		if err := w.growth(before, outageRSS); err != nil {
			return err
		}
		if err := sleep(ctx, lookEvery); err != nil {
			return err
		}
	}
	if !said && outage > noticeLimit {
		w.result.problem("%s: ready for %v without a store", mood, outage)
	}
	return nil
}
