package fault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

// settle waits until every message is acknowledged and every device has shown
// what it is owed, and adds the checker's verdict to the result. A device that
// does not catch up is not an error: the report says what it lacks.
func (w *world) settle(ctx context.Context) error {
	if err := w.quiet(ctx); err != nil {
		return err
	}
	streams, err := w.readAll(ctx)
	if err != nil {
		return err
	}
	heads := map[string]int{}
	for _, s := range streams {
		heads[s.Conversation] = len(s.Entries)
	}
	if err := w.awaitShown(ctx, heads, w.patient(drainTimeout)); err != nil {
		w.Log.Warn("a device did not catch up", "err", err)
	}
	w.judge(streams)
	return ctx.Err()
}

// quiet stops those who write by themselves, and waits until everything is settled.
func (w *world) quiet(ctx context.Context) error {
	for _, stop := range w.bystanders {
		stop()
	}
	if err := w.drain(ctx); err != nil || w.household == nil {
		return err
	}
	return w.household.drain(ctx)
}

// drain waits until every message is settled.
func (w *world) drain(ctx context.Context) error {
	return await(ctx, w.patient(drainTimeout), func() string {
		if n := w.pending(); n > 0 {
			return fmt.Sprintf("%d messages are not acknowledged: %s", n, w.trouble())
		}
		return ""
	})
}

// readAll reads everything that is judged. A server that says it cannot read for the moment
// is asked again.
func (w *world) readAll(ctx context.Context) (streams []checker.Stream, err error) {
	never := await(ctx, w.patient(setupTimeout), func() string {
		if streams, err = w.read(ctx); err == nil && w.household != nil {
			streams, err = w.household.read(ctx, streams)
		}
		if refusal := (*parley.Error)(nil); errors.As(err, &refusal) && refusal.Code == parley.CodeUnavailable {
			return err.Error()
		}
		return ""
	})
	return streams, errors.Join(never, err)
}

// read reads every conversation as REST returns it.
func (w *world) read(ctx context.Context) ([]checker.Stream, error) {
	var streams []checker.Stream
	for _, s := range w.streams {
		entries, err := w.rest.Entries(ctx, s.owner, s.conversation)
		if err != nil {
			return nil, err
		}
		streams = append(streams, checker.Stream{Conversation: s.conversation, Entries: entries})
	}
	return streams, nil
}

// heads asks REST how many entries each conversation has.
func (w *world) heads(ctx context.Context) (map[string]int, error) {
	heads := map[string]int{}
	for _, s := range w.streams {
		n, err := w.rest.Head(ctx, s.owner, s.conversation)
		if err != nil {
			return nil, err
		}
		heads[s.conversation] = n
	}
	return heads, nil
}

// awaitShown waits until every reader has shown as much as it is owed of
// conversations with so many entries.
func (w *world) awaitShown(ctx context.Context, heads map[string]int, limit time.Duration) error {
	type debt struct {
		reader       reader
		conversation string
		entries      int
	}
	var debts []debt
	for _, d := range w.readers {
		for _, records := range journalsOf(d) {
			for _, rec := range records {
				if rec.Event == checker.Follows {
					debts = append(debts, debt{d, rec.Conversation, heads[rec.Conversation] - int(rec.Seq)})
				}
			}
		}
	}
	return await(ctx, limit, func() string {
		for len(debts) > 0 {
			d := debts[0]
			if shown := d.reader.Shown(d.conversation); shown < d.entries {
				return fmt.Sprintf("a device has shown %d of %d entries: %v", shown, d.entries, d.reader.Err())
			}
			debts = debts[1:]
		}
		return ""
	})
}

// owed is a reader whose journal does not say what it is owed: that is known only
// once it has shown something.
type owed interface{ Owed() []record }

// journalsOf returns what a reader is owed, where its journal does not say so, and its
// journal.
func journalsOf(d reader) [][]record {
	if o, ok := d.(owed); ok {
		return [][]record{o.Owed(), d.Records()}
	}
	return [][]record{d.Records()}
}

func (w *world) judge(streams []checker.Stream) {
	var journals [][]checker.Record
	counted := map[any]bool{} // who writes and reads in one has one journal
	for _, p := range w.writers {
		counted[p] = true
		journals = append(journals, p.Records())
	}
	repeated := 0
	for _, d := range w.readers {
		if !counted[d] {
			journals = append(journals, journalsOf(d)...)
		}
		repeated += d.Repeated()
	}
	for _, records := range w.journals {
		journals = append(journals, records())
	}
	w.result.add(checker.CheckAll(journals, streams), repeated)
}
