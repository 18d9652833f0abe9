package broker

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// sweepBatch is how many sessions end in one transaction of the store.
const sweepBatch = 200

// sweeper ends sessions whose devices have been away for too long.
type sweeper struct {
	store    Sessions
	interval time.Duration
	log      *slog.Logger

	quit chan struct{}
	done sync.WaitGroup
}

func newSweeper(store Sessions, interval time.Duration, log *slog.Logger) *sweeper {
	return &sweeper{store: store, interval: interval, log: log, quit: make(chan struct{})}
}

func (sw *sweeper) start() { sw.done.Go(sw.run) }

func (sw *sweeper) stop() {
	close(sw.quit)
	sw.done.Wait()
}

// run sweeps at once, and then after every interval.
func (sw *sweeper) run() {
	for {
		if err := sw.sweep(); err != nil {
			sw.log.Warn("expired sessions are not swept", "error", err)
		}
		select {
		case <-sw.quit:
			return
		case <-time.After(sw.interval):
		}
	}
}

func (sw *sweeper) sweep() error {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), sessionTime)
		n, err := sw.store.Sweep(ctx, sweepBatch)
		cancel()
		if err != nil || n < sweepBatch {
			return err
		}
		select {
		case <-sw.quit:
			return nil
		default:
		}
	}
}
