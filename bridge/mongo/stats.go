package mongo

import (
	"errors"
	"sync/atomic"

	"github.com/parley-chat/parley"
)

// Stats tells what a store has done since it was opened.
type Stats struct {
	Batches    int64 // inserts of entries sent
	Jobs       int64 // appends answered; Jobs/Batches is about the mean batch
	LastBatch  int64 // entries in the last insert
	Entries    int64 // entries appended
	Duplicates int64 // answered with the first one
	Conflicts  int64 // refused: id used with other content
	Stale      int64 // refused: the stream had changed
	Writes     int64 // other writes, of sessions, cursors and rows
	Failures   int64 // commands that failed or had no answer
	Resolved   int64 // entries whose outcome was unknown for a while

	Queued int // appends that wait for the appender now
}

type counters struct {
	batches, jobs, lastBatch, entries atomic.Int64
	duplicates, conflicts, stale      atomic.Int64
	writes, failures, resolved        atomic.Int64
	queued                            atomic.Int64
}

// Stats returns the counters. They are read one by one, so they may be apart by
// what happens meanwhile.
func (s *Store) Stats() Stats {
	c := &s.counters
	return Stats{
		Batches: c.batches.Load(), Jobs: c.jobs.Load(), LastBatch: c.lastBatch.Load(), Entries: c.entries.Load(),
		Duplicates: c.duplicates.Load(), Conflicts: c.conflicts.Load(), Stale: c.stale.Load(),
		Writes: c.writes.Load(), Failures: c.failures.Load(), Resolved: c.resolved.Load(),
		Queued: len(s.appends) + int(c.queued.Load()),
	}
}

func (c *counters) answered(answers []parley.Appended) {
	c.jobs.Add(1)
	for i := range answers {
		switch a := &answers[i]; {
		case a.Duplicate:
			c.duplicates.Add(1)
		case errors.Is(a.Err, parley.ErrStale):
			c.stale.Add(1)
		case a.Err != nil:
			c.conflicts.Add(1)
		}
	}
}
