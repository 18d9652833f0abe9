// Package mirror makes one store a copy of another, and tells whether it is.
//
// Both list what they hold in the same order, so that a copy that was broken off
// goes on where it stopped without a note of its progress, and nothing that is in
// only one of them is overlooked. Each is read once, from its beginning to its end:
// rows first, then stream by stream. So one of them may be a backup.
package mirror

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// How much is read or written at once.
const (
	statesPage  = 1000
	entriesPage = 1000
	rowsPage    = 500
)

// Progress is how far a copy or a comparison has come.
type Progress struct {
	Streams int64 // looked at
	Entries int64 // copied or compared
	Rows    int64

	Trouble error // why it waits before it tries again, nil while it gets on
}

// Options tell how to copy. The zero value works.
type Options struct {
	// Tell is called with the progress after every page, by the goroutine that
	// copies, and when it has to wait. Nil tells nobody.
	Tell func(Progress)

	// Patience is how long a store that does not answer is tried again; 0 means five
	// minutes. Pause is how long the first time, 0 means a second; later ones are
	// longer.
	Patience, Pause time.Duration

	// Names are how Differences call the two stores; empty: the first store, and the
	// second one.
	Names [2]string
}

func (o Options) withDefaults() Options {
	if o.Patience == 0 {
		o.Patience = patience
	}
	if o.Pause == 0 {
		o.Pause = firstPause
	}
	if o.Names == [2]string{} {
		o.Names = [2]string{"the first store", "the second store"}
	}
	return o
}

// Copy puts into target what from holds and target lacks. It neither compares what
// is there already nor finishes target. After an error it may be called again.
func Copy(ctx context.Context, from bridge.Portable, target bridge.Fillable, o Options) (Progress, error) {
	c := &copier{target: target, tally: newTally(o)}
	c.from, c.there = &patientReader{Portable: from, tally: &c.tally}, &patientReader{Portable: target, tally: &c.tally}
	if from.Epoch() != target.Epoch() {
		return c.done, fmt.Errorf("the target is being made a copy of another store: its epoch is %s, not %s", target.Epoch(), from.Epoch())
	}
	for _, kind := range bridge.RowKinds() {
		if err := c.rows(ctx, kind); err != nil {
			return c.done, err
		}
	}
	return c.done, c.streams(ctx)
}

type copier struct {
	from, there bridge.Portable // there is what target has
	target      bridge.Fillable
	tally
	entrySize, stateSize, rowSize portion

	batch []parley.Entry       // of several streams, not put yet
	cut   []bridge.StreamState // whose entries are in batch or before it
}

func (c *copier) streams(ctx context.Context) error {
	err := eachStream(ctx, c.from, c.there, func(name parley.Stream, from, to bridge.StreamState) error {
		c.done.Streams++
		if to.Seq > from.Seq {
			return fmt.Errorf("%s: the target has %d entries, %d are to be copied: it is not an unfinished copy", name, to.Seq, from.Seq)
		}
		if from.First != to.First {
			c.cut = append(c.cut, from)
		}
		if err := c.entries(ctx, from, to.Seq); err != nil {
			return err
		}
		if len(c.cut) < statesPage {
			return nil
		}
		return c.flush(ctx)
	})
	if err != nil {
		return err
	}
	return c.flush(ctx)
}

// entries copies what a stream has behind after.
func (c *copier) entries(ctx context.Context, from bridge.StreamState, after int64) error {
	for after < from.Seq {
		page, err := c.from.Read(ctx, from.Stream, after, entriesPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return fmt.Errorf("%s: entry %d is missing", from.Stream, after+1)
		}
		c.batch = append(c.batch, page...)
		after = page[len(page)-1].Seq
		if len(c.batch) >= entriesPage {
			if err := c.put(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *copier) put(ctx context.Context) error {
	err := putInPortions(ctx, &c.tally, &c.entrySize, c.batch, c.entrySize.first, c.target.PutEntries, func(n int) { c.done.Entries += int64(n) })
	c.batch = c.batch[:0]
	return err
}

// flush puts all that has been collected.
func (c *copier) flush(ctx context.Context) error {
	if err := c.put(ctx); err != nil {
		return err
	}
	first := func(states []bridge.StreamState) []bridge.StreamState {
		return states[:min(c.stateSize.of(statesPage), len(states))]
	}
	err := putInPortions(ctx, &c.tally, &c.stateSize, c.cut, first, c.target.PutStreams, func(int) {})
	c.cut = c.cut[:0]
	return err
}

func (c *copier) rows(ctx context.Context, kind bridge.RowKind) error {
	first := func(rows []bridge.Row) []bridge.Row { return rows[:min(c.rowSize.of(rowsPage), len(rows))] }
	for after := ""; ; {
		page, err := c.from.Rows(ctx, kind, after, rowsPage)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := putInPortions(ctx, &c.tally, &c.rowSize, page, first, c.target.PutRows, func(n int) { c.done.Rows += int64(n) }); err != nil {
			return err
		}
		after = page[len(page)-1].Key
	}
}

// tally counts what was done, and tells it.
type tally struct {
	done            Progress
	tell            func(Progress)
	patience, pause time.Duration
}

func newTally(o Options) tally {
	o = o.withDefaults()
	return tally{tell: o.Tell, patience: o.Patience, pause: o.Pause}
}

func (t *tally) told() {
	if t.tell != nil {
		t.tell(t.done)
	}
}

// eachStream calls do for every stream of either store, in order. The state of one
// that a store does not have is zero.
func eachStream(ctx context.Context, from, to bridge.Portable, do func(name parley.Stream, from, to bridge.StreamState) error) error {
	a, b := newStates(from), newStates(to)
	for {
		left, err := a.peek(ctx)
		if err != nil {
			return err
		}
		right, err := b.peek(ctx)
		switch {
		case err != nil:
			return err
		case left == nil && right == nil:
			return nil
		case right == nil || left != nil && left.Stream < right.Stream:
			err = do(left.Stream, a.take(), bridge.StreamState{})
		case left == nil || right.Stream < left.Stream:
			err = do(right.Stream, bridge.StreamState{}, b.take())
		default:
			err = do(left.Stream, a.take(), b.take())
		}
		if err != nil {
			return err
		}
	}
}

// states goes through the streams of a store.
type states struct {
	store bridge.Portable
	page  []bridge.StreamState
	last  parley.Stream
	ended bool
}

func newStates(p bridge.Portable) *states { return &states{store: p} }

// peek returns the next stream, nil at the end.
func (s *states) peek(ctx context.Context) (*bridge.StreamState, error) {
	if len(s.page) == 0 && !s.ended {
		var err error
		if s.page, err = s.store.Streams(ctx, s.last, statesPage); err != nil {
			return nil, err
		}
		s.ended = len(s.page) == 0
	}
	if s.ended {
		return nil, nil
	}
	return &s.page[0], nil
}

func (s *states) take() bridge.StreamState {
	next := s.page[0]
	s.page, s.last = s.page[1:], next.Stream
	return next
}
