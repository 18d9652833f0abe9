package fault

import (
	"context"
	"fmt"
)

// replay sends everything that was raced for again, in order, as a device does
// that has lost its acknowledgements. Every message has to get the position that
// it has, and nothing may be added.
func (w *world) replay(ctx context.Context, r *racer, seqs *positions) error {
	before, err := w.heads(ctx)
	if err != nil {
		return err
	}
	for _, end := range []func(){w.server.Kill, func() { w.stop(ctx) }} {
		end()
		if err := w.restart(ctx); err != nil {
			return err
		}
		if err := r.connect(ctx); err != nil {
			return fmt.Errorf("come back to send everything again: %w", err)
		}
		err := r.race(seqs.drafts, 1, seqs)
		r.conn.Close()
		if err != nil {
			return fmt.Errorf("send everything again: %w", err)
		}
		w.result.count("sent again later", len(seqs.drafts))
	}
	after, err := w.heads(ctx)
	if err != nil {
		return err
	}
	if was, is := before[r.conversation], after[r.conversation]; was != is {
		w.result.problem("%d entries became %d when all were sent again", was, is)
	}
	return nil
}
