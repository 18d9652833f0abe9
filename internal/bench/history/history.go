// Package history measures how long it takes to read a page of a conversation
// and to search all of them, as history grows.
package history

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/parley-chat/parley"
)

// Archive is what is measured: a store with all that reads it. Its methods are
// those of the bridge, but for the last three.
type Archive interface {
	Append(ctx context.Context, stream parley.Stream, entries []parley.Entry, expect int64) ([]parley.Appended, error)
	History(ctx context.Context, who parley.Identity, conversation string, q parley.HistoryQuery) (parley.HistoryPage, error)
	Search(ctx context.Context, who parley.Identity, q parley.SearchRequest) (parley.SearchPage, error)

	// Settle returns when all that was appended can be read and found.
	Settle(ctx context.Context) error
	// Reopen closes the archive and opens it again, so that nothing of it is
	// in memory.
	Reopen(ctx context.Context) error
	// Size is that of the store on the disk, in bytes.
	Size() (int64, error)
}

// Options of a run. Archive and Out are required.
type Options struct {
	Archive Archive
	Sizes   []int  // numbers of messages at which is measured, rising; 10,000, 100,000 and a million if empty
	Seed    uint64 // of the corpus
	Pages   int    // pages of each kind, 1,000 if 0
	Queries int    // queries of each class, 200 if 0
	Machine string // what is measured, and on what
	Version string
	Results string // Markdown file that is written, and a plot beside it; none if empty
	Out     io.Writer
}

// Limits of what is measured.
const (
	pageLimit   = 5 * time.Millisecond
	searchLimit = 50 * time.Millisecond
)

// Result is what a run has measured.
type Result struct {
	Options
	Date   time.Time
	Stages []Stage
}

// Stage is what was measured at one size of the history.
type Stage struct {
	Messages int
	Bytes    int64         // of the store on the disk
	Filled   time.Duration // how long it took to append all that is new
	Indexed  time.Duration // how much longer until all of it can be found
	Reopened time.Duration // how long it takes to close the store and to open it again
	Measures []Measure     // the same ones at each stage
}

// Measure is how long one thing took.
type Measure struct {
	Name     string
	Limit    time.Duration // of P99
	P50, P99 time.Duration
	Found    float64 // of searches: mean of the hits on the first page
	Partial  int     // of searches: how many were ended by their time limit
}

// Run fills the archive up to each of the sizes, and measures there.
func Run(ctx context.Context, o Options) (*Result, error) {
	if len(o.Sizes) == 0 {
		o.Sizes = []int{10_000, 100_000, 1_000_000}
	}
	if o.Pages == 0 {
		o.Pages = 1000
	}
	if o.Queries == 0 {
		o.Queries = 200
	}
	r := &Result{Options: o, Date: time.Now()}
	filler := NewFiller(o.Archive, o.Seed)
	for _, size := range o.Sizes {
		o.say("%d messages", size)
		stage := Stage{Messages: size}
		if err := stage.fill(ctx, filler, o); err != nil {
			return nil, err
		}
		if err := stage.measure(ctx, o); err != nil {
			return nil, err
		}
		r.Stages = append(r.Stages, stage)
	}
	if o.Results != "" {
		return r, r.write()
	}
	return r, nil
}

func (s *Stage) fill(ctx context.Context, f *Filler, o Options) error {
	start := time.Now()
	if err := f.Fill(ctx, s.Messages); err != nil {
		return fmt.Errorf("fill the store: %w", err)
	}
	s.Filled = time.Since(start)
	if err := o.Archive.Settle(ctx); err != nil {
		return fmt.Errorf("wait for the index: %w", err)
	}
	s.Indexed = time.Since(start) - s.Filled
	start = time.Now()
	if err := o.Archive.Reopen(ctx); err != nil {
		return fmt.Errorf("open it again: %w", err)
	}
	s.Reopened = time.Since(start)
	var err error
	if s.Bytes, err = o.Archive.Size(); err != nil {
		return fmt.Errorf("size of the store: %w", err)
	}
	o.say("filled in %v, found %v later, closed and opened again in %v, %d MB", s.Filled.Round(time.Millisecond),
		s.Indexed.Round(time.Millisecond), s.Reopened.Round(time.Millisecond), s.Bytes>>20)
	return nil
}

// say tells a person how far it is.
func (o Options) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.Out, format+"\n", args...) // a closed terminal does not stop a measurement
}
