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
	for range 8 + d.random.IntN(12) {
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
	switch d.random.IntN(12) {
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
		t.closed, t.open = false, false
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
	user := one.Session().User
	r := checker.Record{Device: string(one.Kind()), User: user, Event: checker.Sent, Conversation: t.id, ID: id, Type: draft.Type, Body: draft.Body}
	d.journal.Add(r)
	err = await(ctx, roundTimeout, func() string {
		head, err := d.rest.Head(ctx, d.all[0].Session(), t.id)
		if err != nil {
			return err.Error()
		}
		if int64(head) <= t.head {
			return fmt.Sprintf("%s has written, nothing is stored", one.Kind())
		}
		return ""
	})
	if err != nil {
		return err
	}
	t.head++
	r.Event, r.Type, r.Body = checker.Acked, "", nil
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
		t.open = true
		t.head++
		return d.rest.Claim(ctx, agent, t.id)
	}
	if err := d.rest.Claim(ctx, d.colleague, t.id); err != nil { // out of the agent's sight
		return err
	}
	t.closed = true
	t.head += 2
	return d.rest.CloseConversation(ctx, d.colleague, t.id)
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
	for _, t := range talks {
		draft := parley.MarkDraft{Delivered: t.head, Read: d.random.Int64N(t.head + 1)}
		if err := d.headless().Mark(ctx, t.id, draft); err != nil {
			return time.Time{}, err
		}
	}
	if err := d.told(ctx, talks); err != nil {
		return time.Time{}, err
	}
	if d.random.IntN(2) == 0 {
		if err := d.set(ctx, d.any()); err != nil {
			return time.Time{}, err
		}
		return time.Now(), nil
	}
	if err := d.mark(ctx, d.any(), talks[0]); err != nil {
		return time.Time{}, err
	}
	err := d.told(ctx, talks)
	return time.Now(), err
}

// told waits until pages have told what was read there. They tell once a second and
// conversation.
func (d *desks) told(ctx context.Context, talks []*talk) error {
	began := time.Now()
	for _, one := range d.all {
		if one.Kind() != device.Chromium {
			continue
		}
		err := await(ctx, roundTimeout, func() string {
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
		d.result.took("told by the page max", time.Since(began), 0)
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
