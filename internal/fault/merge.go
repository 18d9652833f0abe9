package fault

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// mergeMarks lets two devices of an agent mark at once, out of order, while a third
// marks without a connection and comes back with old news; in one round of ten the
// server is killed in between. Nothing may go back, and when all is quiet all show
// the same, which is what a recount gives.
func mergeMarks(ctx context.Context, l *Lab) error {
	config := server.Config{Env: []string{server.DemoSite, manyVisitors}}
	return l.alone(ctx, config, func(ctx context.Context, w *world) error {
		d, err := w.desksOf(ctx, 2*time.Second, device.Paho, device.Mosquitto311, device.Paho)
		if err != nil {
			return err
		}
		defer d.conclude()
		for n := range w.Rounds {
			if err := d.mergeRound(ctx); err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
		}
		return nil
	})
}

const (
	mergeMessages = 20 // of the visitor in a round
	mergeBursts   = 4  // of marks
	mergeMarksOf  = 3  // one device in a burst
)

func (d *desks) mergeRound(ctx context.Context) error {
	p, err := d.visitor(ctx, device.Raw5, d.endpoint(), mergeMessages)
	if err != nil {
		return err
	}
	t := &talk{visitor: p, id: p.Conversation, head: 2}
	if err := d.rest.Claim(ctx, d.all[0].Session(), t.id); err != nil {
		return err
	}
	t.head, t.open = 3, true
	absent := d.any()
	if err := absent.leave(ctx); err != nil {
		return err
	}
	for n := range mergeBursts {
		for range mergeMessages / mergeBursts {
			p.Send("还在吗？")
		}
		if err := d.drain(ctx); err != nil {
			return err
		}
		t.head += mergeMessages / mergeBursts
		if err := d.burst(ctx, t); err != nil {
			return err
		}
		if n == mergeBursts/2 && d.random.IntN(10) == 0 {
			if err := d.killed(ctx); err != nil {
				return err
			}
		}
	}
	if err := absent.comeBack(ctx); err != nil {
		return err
	}
	if err := d.awaitEqual(ctx, []*talk{t}, time.Now()); err != nil {
		return err
	}
	return d.tidy(ctx, []*talk{t})
}

// burst lets all devices mark at once, each up to anywhere, high before low.
func (d *desks) burst(ctx context.Context, t *talk) error {
	var all sync.WaitGroup
	errs := make(chan error, len(d.all)*mergeMarksOf)
	for _, one := range d.all {
		var drafts []parley.MarkDraft
		for range mergeMarksOf {
			drafts = append(drafts, parley.MarkDraft{Delivered: d.random.Int64N(t.head + 1), Read: d.random.Int64N(t.head + 1)})
		}
		d.steps += len(drafts)
		all.Go(func() {
			for _, draft := range drafts {
				errs <- one.do(ctx, func(ctx context.Context) error { return one.Mark(ctx, t.id, draft) })
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// killed ends the server and starts it again; who was connected comes back.
func (d *desks) killed(ctx context.Context) error {
	d.server.Kill()
	if err := d.restart(ctx); err != nil {
		return err
	}
	d.result.count("kills", 1)
	for _, one := range d.all {
		if one.away {
			continue
		}
		if err := one.leave(ctx); err != nil {
			return err
		}
		if err := one.comeBack(ctx); err != nil {
			return err
		}
	}
	return nil
}
