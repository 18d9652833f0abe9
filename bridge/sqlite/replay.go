package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite/journal"
)

// maxAhead is how far the newest entry may be ahead of the clock without a
// warning.
const maxAhead = time.Minute

// openJournal brings what the journal of the last process holds into db, and
// begins a new one. Nobody reads or writes yet.
func (s *Store) openJournal(ctx context.Context, db *database) error {
	applied, err := db.number(ctx, metaApplied)
	if err != nil {
		return err
	}
	segment, err := db.number(ctx, metaSegment)
	if err != nil {
		return err
	}
	p := &replayer{w: newWriter(s, db), ctx: ctx, heads: map[parley.Stream]int64{}, applied: uint64(applied)}
	found, err := journal.Replay(s.dir, s.epoch, uint64(applied), p.batch)
	if err == nil {
		err = p.flush()
	}
	if err != nil {
		return err
	}
	if found.Segment < uint64(segment) {
		return fmt.Errorf("the journal is missing: the last run did not end cleanly, and no journal-%06d or later is in the folder; put it back, or restore the newest backup", segment)
	}
	if found.Batches > 0 || found.Torn > 0 || found.Repaired > 0 {
		s.logger.Info("journal replayed", "segments", found.Segments, "batches", found.Batches, "entries", p.entries, "torn_bytes", found.Torn)
	}
	if found.Repaired > 0 {
		s.logger.Warn("the journal had flipped bits, which were put right; check the disk", "bits", found.Repaired)
	}
	if s.journal, err = journal.Start(journal.Options{Dir: s.dir, Epoch: s.epoch}, found.Position); err != nil {
		return err
	}
	if _, err := p.w.find(`SELECT at FROM entries ORDER BY at DESC LIMIT 1`, nil, &s.newest); err != nil {
		return fmt.Errorf("read the newest entry: %w", err)
	}
	if ahead := s.newest - s.now().UnixMilli(); ahead > maxAhead.Milliseconds() {
		s.logger.Warn("the clock is behind the newest entry; server time stands still until it has caught up", "behind", time.Duration(ahead)*time.Millisecond)
	}
	s.pending.setApplied(found.Batch)
	begun := s.journal.Position().Segment
	if _, err := p.w.exec(setMeta, metaSegment, int64(begun)); err != nil {
		return fmt.Errorf("note the journal: %w", err)
	}
	return journal.Forget(s.dir, begun)
}

// replayer applies the batches of a replay, many in one transaction.
type replayer struct {
	w       *writer
	ctx     context.Context
	heads   map[parley.Stream]int64 // as they will be
	chunk   []batch
	waiting int    // entries in chunk
	applied uint64 // newest batch seen
	entries int
}

func (p *replayer) batch(payload []byte) error {
	entries, err := decodeBatch(payload)
	if err != nil {
		return err
	}
	for i := range entries {
		if err := p.follows(&entries[i]); err != nil {
			return err
		}
	}
	p.applied++
	p.chunk = append(p.chunk, batch{number: p.applied, entries: entries, bytes: len(payload)})
	p.entries += len(entries)
	if p.waiting += len(entries); p.waiting < applyChunk {
		return nil
	}
	return p.flush()
}

// follows checks that e continues what the database holds: its batch is newer
// than all that were applied.
func (p *replayer) follows(e *parley.Entry) error {
	head, known := p.heads[e.Stream]
	if !known {
		if _, err := p.w.find(`SELECT e.seq FROM entries e WHERE e.stream = (SELECT id FROM streams WHERE name = ?) ORDER BY e.seq DESC LIMIT 1`, []any{string(e.Stream)}, &head); err != nil {
			return err
		}
	}
	if e.Seq != head+1 {
		return fmt.Errorf("%w: the journal has entry %d of %s, the database ends at %d; the two do not belong together", errDamaged, e.Seq, e.Stream, head)
	}
	p.heads[e.Stream] = e.Seq
	return nil
}

func (p *replayer) flush() error {
	if len(p.chunk) == 0 {
		return nil
	}
	if err := p.ctx.Err(); err != nil {
		return err
	}
	entries, _ := p.w.collect(p.chunk)
	if err := p.w.transact(false, func() error { return p.w.applyEntries(entries, p.applied) }); err != nil {
		return fmt.Errorf("apply the journal: %w", err)
	}
	p.chunk, p.waiting = p.chunk[:0], 0
	return nil
}
