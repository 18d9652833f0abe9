package fault

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// manyVisitors lets a row make as many visitors as it likes.
const manyVisitors = "PARLEY_NEW_VISITORS=-1"

// converge makes random scripts on three devices of one agent: a page in Chromium,
// paho, and mosquitto's command line. After the last change of each all of them
// have to show the same, field by field.
func converge(ctx context.Context, l *Lab) error {
	config := server.Config{Env: []string{server.DemoSite, manyVisitors}}
	return l.alone(ctx, config, func(ctx context.Context, w *world) error {
		d, err := w.desksOf(ctx, time.Second, device.Chromium, device.Paho, device.Mosquitto5)
		if err != nil {
			return err
		}
		defer d.conclude()
		for n := range w.Rounds {
			if err := d.script(ctx); err != nil {
				return fmt.Errorf("script %d: %w", n+1, err)
			}
			w.Log.Debug("script made", "script", n+1, "equal after", d.quiet)
		}
		return nil
	})
}

// script is a series of random steps in two new conversations.
func (d *desks) script(ctx context.Context) error {
	var talks []*talk
	for range 2 {
		p, err := d.visitor(ctx, device.Raw5, d.endpoint(), 20)
		if err != nil {
			return err
		}
		talks = append(talks, &talk{visitor: p, id: p.Conversation, head: 2})
	}
	if err := d.watching(talks, true); err != nil {
		return err
	}
	if err := d.take(ctx, talks[0]); err != nil {
		return err
	}
	for range 12 + d.random.IntN(18) {
		if err := d.step(ctx, talks[d.random.IntN(len(talks))]); err != nil {
			return err
		}
	}
	last, err := d.last(ctx, talks)
	if err != nil {
		return err
	}
	if err := d.awaitEqual(ctx, talks, last); err != nil {
		return err
	}
	if err := d.judgeAmended(ctx, talks); err != nil {
		return err
	}
	if err := d.watching(talks, false); err != nil {
		return err
	}
	return d.tidy(ctx, talks)
}

// step does one random thing. What the server may refuse is not tried where a
// refusal would not be told.
func (d *desks) step(ctx context.Context, t *talk) error {
	d.steps++
	one := d.any()
	switch d.random.IntN(18) {
	case 0, 1:
		return d.write(ctx, t)
	case 2, 3:
		if t.open && !one.away {
			return d.answer(ctx, one, t)
		}
		return d.write(ctx, t)
	case 4:
		return d.decide(ctx, t)
	case 5:
		if one.away {
			return one.comeBack(ctx)
		}
		return one.leave(ctx)
	case 6, 7, 8:
		return d.set(ctx, one)
	case 9, 10, 11:
		return d.amend(ctx, one, t)
	case 12:
		return d.amendByREST(ctx, d.all[0].Session(), t)
	case 13, 14:
		return d.amendByREST(ctx, t.visitor.Session, t)
	default:
		return d.mark(ctx, one, t)
	}
}

// write lets the visitor write.
func (d *desks) write(ctx context.Context, t *talk) error {
	t.visitor.Send(fmt.Sprintf("message %d: 还在吗？", d.steps))
	if err := d.drain(ctx); err != nil {
		return err
	}
	t.head++
	if t.closed { // it is in the queue again
		t.head++
		t.closed, t.open, t.hidden = false, false, false
	}
	return nil
}

// answer lets a device write.
func (d *desks) answer(ctx context.Context, one *desk, t *talk) error {
	text := fmt.Sprintf("answer %d", d.steps)
	id, err := one.Say(ctx, t.id, text)
	if err != nil {
		return fmt.Errorf("%s writes: %w", one.Kind(), err)
	}
	draft := parley.NewText(id, text)
	r := sentBy(one, t, draft)
	d.journal.Add(r)
	if err := d.awaitStored(ctx, t, r); err != nil {
		return err
	}
	r.Event = checker.Acked
	d.journal.Add(r)
	return nil
}

// decide lets an agent take a conversation, or close it.
func (d *desks) decide(ctx context.Context, t *talk) error {
	agent := d.all[0].Session()
	switch {
	case t.closed:
		return nil
	case t.open && d.random.IntN(2) == 0:
		t.closed, t.open = true, false
		t.head++
		return d.rest.CloseConversation(ctx, agent, t.id)
	case t.open:
		return d.rest.Claim(ctx, agent, t.id) // changes nothing
	case d.random.IntN(5) > 0:
		return d.take(ctx, t)
	}
	if err := d.rest.Claim(ctx, d.colleague, t.id); err != nil { // out of the agent's sight
		return err
	}
	t.closed, t.hidden = true, true
	t.head += 2
	return d.rest.CloseConversation(ctx, d.colleague, t.id)
}

// take makes the agent of the desks responsible.
func (d *desks) take(ctx context.Context, t *talk) error {
	t.open = true
	t.head++
	return d.rest.Claim(ctx, d.all[0].Session(), t.id)
}

// set sets a register on what a device knows when it does.
func (d *desks) set(ctx context.Context, one *desk) error {
	d.settings++
	key := []string{"tabs", "draft:" + server.Agent, "mute:" + server.Agent}[d.random.IntN(3)]
	value := []string{`null`, `true`, fmt.Sprintf(`{"text":"draft %d"}`, d.settings)}[d.random.IntN(3)]
	draft := parley.SetDraft{ID: parley.NewID("set_"), Key: key, Value: []byte(value), BasedOn: one.Version(key)}
	return one.do(ctx, func(ctx context.Context) error { return one.Set(ctx, draft) })
}

// mark marks up to anywhere.
func (d *desks) mark(ctx context.Context, one *desk, t *talk) error {
	draft := parley.MarkDraft{Delivered: d.random.Int64N(t.head + 1), Read: d.random.Int64N(t.head + 1)}
	return one.do(ctx, func(ctx context.Context) error { return one.Mark(ctx, t.id, draft) })
}

// last brings everybody back and makes the last changes: everything has been
// delivered somewhere, so that no device has anything to tell by itself. It
// returns when the last one was acknowledged.
func (d *desks) last(ctx context.Context, talks []*talk) (time.Time, error) {
	for _, one := range d.all {
		if err := one.comeBack(ctx); err != nil {
			return time.Time{}, err
		}
	}
	if err := d.told(ctx, talks); err != nil {
		return time.Time{}, err
	}
	for _, t := range talks {
		head, err := d.rest.Head(ctx, t.visitor.Session, t.id)
		if err != nil {
			return time.Time{}, err
		}
		t.head = int64(head)
		draft := parley.MarkDraft{Delivered: t.head, Read: d.random.Int64N(t.head + 1)}
		if err := d.headless().Mark(ctx, t.id, draft); err != nil {
			return time.Time{}, err
		}
	}
	if err := d.told(ctx, talks); err != nil {
		return time.Time{}, err
	}
	one, t := d.any(), talks[d.random.IntN(len(talks))]
	change := []func() error{
		func() error { return d.set(ctx, one) },
		func() error { return d.mark(ctx, one, t) },
		func() error { return d.amend(ctx, one, t) },
	}[d.random.IntN(3)]
	began := time.Now()
	if err := change(); err != nil {
		return time.Time{}, err
	}
	if one.Kind() != device.Chromium {
		return time.Now(), nil
	}
	if err := d.told(ctx, talks); err != nil {
		return time.Time{}, err
	}
	d.result.took("told by the page max", time.Since(began), 0)
	return time.Now(), nil
}

// told waits until pages have told what was done there. What was read they tell once
// in 0.8 s and conversation.
func (d *desks) told(ctx context.Context, talks []*talk) error {
	for _, one := range d.all {
		page, ok := one.Desk.(*device.Page)
		if !ok {
			continue
		}
		err := await(ctx, roundTimeout, func() string {
			if idle, err := page.Idle(); err != nil || !idle {
				return fmt.Sprintf("the page has not told everything: %v", err)
			}
			truth, _, err := d.rest.Truth(ctx, one.Session(), idsOf(talks))
			if err != nil {
				return err.Error()
			}
			shown, err := one.View(ctx, idsOf(talks))
			if err != nil {
				return err.Error()
			}
			for id, t := range truth.Conversations {
				if got, there := shown.Conversations[id]; there && got.Unread < t.Unread {
					return fmt.Sprintf("the page has %d unread, the server %d", got.Unread, t.Unread)
				}
			}
			return ""
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func idsOf(talks []*talk) []string {
	ids := make([]string, len(talks))
	for i, t := range talks {
		ids[i] = t.id
	}
	return ids
}

// headless draws a device whose marks are acknowledged when they have been made.
func (d *desks) headless() *desk {
	for {
		if one := d.any(); one.Kind() != device.Chromium {
			return one
		}
	}
}

// tidy closes what is open, so that lists stay short.
func (d *desks) tidy(ctx context.Context, talks []*talk) error {
	for _, t := range talks {
		if t.closed {
			continue
		}
		if err := d.rest.Claim(ctx, d.all[0].Session(), t.id); err != nil {
			return err
		}
		if err := d.rest.CloseConversation(ctx, d.all[0].Session(), t.id); err != nil {
			return err
		}
	}
	return nil
}
