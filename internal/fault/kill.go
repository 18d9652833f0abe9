package fault

import (
	"context"
	"time"
)

// Kill ends the server with SIGKILL in each round and starts it again on the
// same data; in one round of five it is killed once more while it starts. An
// error means that the run could not be made or did not come to an end; what
// the server did wrong is in the report. No process and no goroutine is left
// behind.
func (l Loop) Kill(ctx context.Context) (*Result, error) {
	return l.run(ctx, fault{"kill -9 under load", kill})
}

func kill(ctx context.Context, r *run) error {
	r.server.Kill()
	if r.random.IntN(5) == 0 {
		if err := r.server.Launch(); err != nil {
			return err
		}
		if err := r.pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		r.server.Kill()
	}
	if err := r.server.Start(ctx); err != nil {
		return err
	}
	r.readyMax = max(r.readyMax, r.server.ReadyIn())
	return nil
}
