package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
)

// amend lets a device edit or delete something that its user has written on any of
// them. What is done while it is away may come too late: the message may be deleted by
// then, or the conversation closed.
func (d *desks) amend(ctx context.Context, one *desk, t *talk) error {
	draft, ok, err := d.amendment(ctx, one.Session(), t)
	if err != nil || !ok {
		return err
	}
	late := one.away
	return one.do(ctx, func(ctx context.Context) error {
		var b parley.EditBody
		if err := json.Unmarshal(draft.Body, &b); err != nil {
			return fmt.Errorf("decode amendment: %w", err)
		}
		id, err := one.Amend(ctx, t.id, draft.Type, b.Seq, b.Text)
		if err != nil {
			return fmt.Errorf("%s amends: %w", one.Kind(), err)
		}
		if id == "" {
			return nil
		}
		draft.ID = id
		r := sentBy(one, t, draft)
		d.journal.Add(r)
		t.amended = append(t.amended, r)
		if late {
			return nil
		}
		return d.awaitStored(ctx, t, r)
	})
}

// amendByREST lets somebody edit or delete a message of theirs by REST.
func (d *desks) amendByREST(ctx context.Context, s *device.Session, t *talk) error {
	draft, ok, err := d.amendment(ctx, s, t)
	if err != nil || !ok {
		return err
	}
	_, err = d.say(ctx, &d.journal, s, t.id, draft)
	if refused := (*parley.Error)(nil); errors.As(err, &refused) && refused.Code == parley.CodeConflict {
		return nil // a page that has come back has just deleted it
	}
	d.edited++
	return err
}

// amendment draws an edit or a delete that the user of s may make now.
func (d *desks) amendment(ctx context.Context, s *device.Session, t *talk) (draft parley.Draft, ok bool, err error) {
	entries, err := d.rest.Entries(ctx, t.visitor.Session, t.id)
	if err != nil {
		return parley.Draft{}, false, err
	}
	var own []int64
	for _, e := range entries {
		if e.Type == parley.EntryText && e.Sender == s.User && !e.Redacted {
			own = append(own, e.Seq)
		}
	}
	kind, allowed := parley.EntryEdit, t.open
	if visits := s.User == t.visitor.Session.User; visits {
		allowed = !t.closed
	}
	if !allowed || d.random.IntN(3) == 0 {
		kind, allowed = parley.EntryDelete, !t.hidden || s.User == t.visitor.Session.User
	}
	if !allowed || len(own) == 0 {
		return parley.Draft{}, false, nil
	}
	seq := own[len(own)-1]
	if d.random.IntN(2) == 0 {
		seq = own[d.random.IntN(len(own))]
	}
	return device.NewAmendment(kind, seq, fmt.Sprintf("said better %d: 还在呢", d.steps)), true, nil
}

func sentBy(one *desk, t *talk, draft parley.Draft) checker.Record {
	return checker.Record{
		Device: string(one.Kind()), User: one.Session().User, Event: checker.Sent,
		Conversation: t.id, ID: draft.ID, Type: draft.Type, Body: draft.Body,
	}
}

// awaitStored waits until what was sent is stored, or cannot be any more, as its message
// was deleted.
func (d *desks) awaitStored(ctx context.Context, t *talk, sent checker.Record) error {
	return await(ctx, roundTimeout, func() string {
		entries, err := d.rest.Entries(ctx, t.visitor.Session, t.id)
		if err != nil {
			return err.Error()
		}
		t.head = max(t.head, int64(len(entries)))
		if !storedIn(entries, sent) && !deletedIn(entries, sent) {
			return fmt.Sprintf("%s has sent %s %s, it is not stored", sent.Device, sent.Type, sent.Body)
		}
		return ""
	})
}

func storedIn(entries []parley.Entry, sent checker.Record) bool {
	return slices.ContainsFunc(entries, func(e parley.Entry) bool { return e.ID == sent.ID && e.Sender == sent.User })
}

// deletedIn reports whether the message that was to be edited or deleted has gone.
func deletedIn(entries []parley.Entry, sent checker.Record) bool {
	target, ok := (&parley.Entry{Type: sent.Type, Body: sent.Body}).Target()
	return ok && slices.ContainsFunc(entries, func(e parley.Entry) bool { return e.Seq == target && e.Redacted })
}

// judgeAmended notes which edits and deletes of devices have been taken: those that are
// stored.
func (d *desks) judgeAmended(ctx context.Context, talks []*talk) error {
	for _, t := range talks {
		entries, err := d.rest.Entries(ctx, t.visitor.Session, t.id)
		if err != nil {
			return err
		}
		for _, r := range t.amended {
			if !storedIn(entries, r) {
				d.late++
				continue
			}
			d.edited++
			r.Event = checker.Acked
			d.journal.Add(r)
		}
	}
	return nil
}
