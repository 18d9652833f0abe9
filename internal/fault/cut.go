package fault

import (
	"context"
	"time"
)

// Cut harms the network between the devices and the server in each round:
// connections are reset, reset right behind a PUBLISH so that its
// acknowledgement never arrives, reset in the middle of a packet, or frozen for
// a moment. It fails and leaves as Kill does.
func (l Loop) Cut(ctx context.Context) (*Result, error) {
	return l.run(ctx, fault{"network cut under load", cut})
}

func cut(ctx context.Context, r *run) error {
	switch r.random.IntN(4) {
	case 0:
		r.cable.Cut()
	case 1:
		r.cable.CutAfterPublish()
	case 2:
		r.cable.CutAfter(r.random.Int64N(20_000))
	default:
		r.cable.Freeze()
		defer r.cable.Heal()
		return r.pause(ctx, 100*time.Millisecond)
	}
	return nil
}
