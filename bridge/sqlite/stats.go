package sqlite

import (
	"errors"
	"sync/atomic"

	"github.com/parley-chat/parley"
)

// Stats tells what a store has done since it was opened.
type Stats struct {
	Batches    int64 // journal batches fsynced
	Jobs       int64 // appends they served; Jobs/Batches is the mean batch
	LastBatch  int64 // appends served by the last one
	Entries    int64 // entries appended
	Duplicates int64 // answered with the first one
	Conflicts  int64 // refused: id used with other content
	Stale      int64 // refused: the stream had changed
	Writes     int64 // other writes, of sessions, cursors and rows
	Documents  int64 // of the search index, saved or removed
	Applied    int64 // entries brought from the journal into the database
	Failures   int64 // batches, transactions and checkpoints that failed
	Recoveries int64 // times the database was opened again, or a journal segment begun, after a disk error

	Queued       int // callers that wait for the appender or the writer now
	Pending      int // entries that are in the journal and not yet in the database
	PendingBytes int // size there of all entries that are not yet fsynced in the database
	Segments     int // files of the journal that are still needed
}

type counters struct {
	batches, jobs, lastBatch, entries atomic.Int64
	duplicates, conflicts, stale      atomic.Int64
	writes, documents                 atomic.Int64
	applied, failures, recoveries     atomic.Int64
}

// Stats returns the counters. They are read one by one, so they may be apart by
// what happens meanwhile.
func (s *Store) Stats() Stats {
	c := &s.counters
	_, bytes := s.pending.size()
	return Stats{
		Batches: c.batches.Load(), Jobs: c.jobs.Load(), LastBatch: c.lastBatch.Load(), Entries: c.entries.Load(),
		Duplicates: c.duplicates.Load(), Conflicts: c.conflicts.Load(), Stale: c.stale.Load(),
		Writes: c.writes.Load(), Documents: c.documents.Load(), Applied: c.applied.Load(), Failures: c.failures.Load(), Recoveries: c.recoveries.Load(),
		Queued: len(s.appends) + len(s.queue), Pending: s.pending.unapplied(), PendingBytes: bytes, Segments: s.journal.Segments(),
	}
}

func (c *counters) committed(jobs, entries int) {
	c.batches.Add(1)
	c.jobs.Add(int64(jobs))
	c.lastBatch.Store(int64(jobs))
	c.entries.Add(int64(entries))
}

func (c *counters) answered(answers []parley.Appended) {
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
