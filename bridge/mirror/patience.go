package mirror

import (
	"context"
	"errors"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// How long a store that does not answer is tried again.
const (
	patience   = 5 * time.Minute
	firstPause = time.Second
	longPause  = 30 * time.Second
)

// How much is put at once shrinks when a store cannot take it in time, and grows
// again behind so many successes.
const (
	portionBytes = 8 << 20
	maxHalvings  = 10
	growsAfter   = 32
)

// Passes reports whether err is of a fault that may pass: the same copy goes on
// later where it stopped.
func Passes(err error) bool {
	var refusal *parley.Error
	return errors.As(err, &refusal) && refusal.Code.Retry()
}

// patiently tries until it succeeds, fails for good, or patience ends. The pauses
// grow.
func (t *tally) patiently(ctx context.Context, try func() error) error {
	began, pause := time.Now(), t.pause
	for {
		err := try()
		if err == nil || !Passes(err) || ctx.Err() != nil || time.Since(began) > t.patience {
			t.done.Trouble = nil
			return err
		}
		t.done.Trouble = err
		t.told()
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(2*pause, longPause)
	}
}

// portion is how much is read or written at once.
type portion struct {
	halvings, successes int
}

// of returns how many of n are taken, at most limit.
func (p *portion) of(limit int) int { return max(1, limit>>p.halvings) }

// learn makes portions smaller after a fault, for it may be their size.
func (p *portion) learn(err error) {
	switch {
	case err == nil:
		if p.successes++; p.successes >= growsAfter {
			p.halvings, p.successes = max(0, p.halvings-1), 0
		}
	case Passes(err):
		p.halvings, p.successes = min(p.halvings+1, maxHalvings), 0
	}
}

// first returns as many of entries as make a portion.
func (p *portion) first(entries []parley.Entry) []parley.Entry {
	n, bytes := 0, 0
	for limit := p.of(entriesPage); n < min(limit, len(entries)); n++ {
		if bytes += len(entries[n].Body); n > 0 && bytes > portionBytes>>p.halvings {
			break
		}
	}
	return entries[:n]
}

// putInPortions puts all of items: first tells how many at once.
func putInPortions[T any](ctx context.Context, t *tally, p *portion, items []T, first func([]T) []T, put func(context.Context, []T) error, done func(int)) error {
	for len(items) > 0 {
		var some []T
		err := t.patiently(ctx, func() error {
			some = first(items)
			err := put(ctx, some)
			p.learn(err)
			return err
		})
		if err != nil {
			return err
		}
		items = items[len(some):]
		done(len(some))
		t.told()
	}
	return nil
}

// Patient returns p as one that is tried again while it does not answer.
func Patient(p bridge.Portable, o Options) bridge.Portable {
	t := newTally(o)
	return &patientReader{Portable: p, tally: &t}
}

// patientReader reads a store that may not answer for a while.
type patientReader struct {
	bridge.Portable
	tally *tally
	size  portion // of pages of entries
}

func (r *patientReader) Streams(ctx context.Context, after parley.Stream, limit int) (states []bridge.StreamState, err error) {
	err = r.tally.patiently(ctx, func() (err error) {
		states, err = r.Portable.Streams(ctx, after, limit)
		return err
	})
	return states, err
}

// Read may return fewer than there are up to the limit.
func (r *patientReader) Read(ctx context.Context, stream parley.Stream, after int64, limit int) (entries []parley.Entry, err error) {
	err = r.tally.patiently(ctx, func() (err error) {
		entries, err = r.Portable.Read(ctx, stream, after, r.size.of(limit))
		r.size.learn(err)
		return err
	})
	return entries, err
}

func (r *patientReader) Rows(ctx context.Context, kind bridge.RowKind, after string, limit int) (rows []bridge.Row, err error) {
	err = r.tally.patiently(ctx, func() (err error) {
		rows, err = r.Portable.Rows(ctx, kind, after, limit)
		return err
	})
	return rows, err
}
