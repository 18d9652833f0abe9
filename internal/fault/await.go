package fault

import (
	"context"
	"fmt"
	"time"
)

// How long to wait for what should take moments: long enough for a slow
// machine, short enough to tell what hangs.
const (
	setupTimeout = 30 * time.Second
	roundTimeout = 20 * time.Second
	drainTimeout = 60 * time.Second
	poll         = 5 * time.Millisecond
)

// patient is a limit, longer where the database reads everything to find anything.
func (l *Lab) patient(limit time.Duration) time.Duration {
	if l.store != nil {
		return 4 * limit
	}
	return limit
}

// await polls until missing returns "", and fails with its last answer.
func await(ctx context.Context, limit time.Duration, missing func() string) error {
	deadline := time.Now().Add(limit)
	for {
		what := missing()
		if what == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v: %s", limit, what)
		}
		if err := sleep(ctx, poll); err != nil {
			return fmt.Errorf("%w: %s", err, what)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
