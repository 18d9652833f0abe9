package sqlite

import (
	"database/sql"
	"fmt"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// A deleted message is overwritten in the tables when its delete is applied, and
// what is before a cut by the cut. Its
// text is still in places that nobody reads any more: in the journal, in the
// write-ahead log, for a moment in the row of its conversation. A purge takes it
// from there.
const (
	purgeAfter = 10 * time.Second // a delete was applied; those that come meanwhile share the purge
	purgeRetry = 250 * time.Millisecond
	purgePoll  = 20 * time.Millisecond

	metaPurge = "purge" // row of the meta table: deleted text may be outside the tables
)

// purging is what the writer knows about the next purge.
type purging struct {
	at      time.Time               // when to go a step further; zero if nothing was deleted
	deletes map[parley.Stream]int64 // the newest delete of each stream
	segment *appendJob              // asks for a new segment of the journal
	begun   bool                    // it was begun
	again   bool                    // something was deleted after it was asked for
}

// deleted schedules a purge for the delete that is entry seq of stream.
func (p *purging) deleted(stream parley.Stream, seq int64, after time.Duration) {
	p.deletes[stream] = seq
	p.due(after)
}

// due schedules a purge. Those that are wanted meanwhile share it.
func (p *purging) due(after time.Duration) {
	p.again = p.segment != nil
	if p.at.IsZero() {
		p.at = time.Now().Add(after)
	}
}

// purgeDue reports whether it is time to go a step further.
func (w *writer) purgeDue() bool {
	return !w.purging.at.IsZero() && w.up() && !time.Now().Before(w.purging.at)
}

// purge asks for a new segment of the journal. Once that has been begun it lets go
// of all segments before it, and empties the write-ahead log.
func (w *writer) purge() {
	p := &w.purging
	p.at = time.Now().Add(purgeRetry)
	if p.segment == nil {
		w.askForSegment()
	}
	if !w.segmentBegun() {
		return
	}
	for w.store.pending.newestApplied() < p.segment.rotated {
		if !w.applyPending() {
			return
		}
	}
	if w.releaseApplied() && !w.rowsLag() {
		w.emptyLog()
	}
}

// releaseApplied lets the journal go of all that is applied. It reports whether it
// has.
func (w *writer) releaseApplied() bool {
	if some, _ := w.store.pending.unsynced(); !some {
		w.letGo(w.store.pending.newestApplied())
		return true
	}
	w.syncApplied()
	some, _ := w.store.pending.unsynced()
	return w.up() && !some
}

func (w *writer) askForSegment() {
	crash.At(crash.PurgeBegin)
	j := &appendJob{rotate: true, done: make(chan error, 1)}
	select {
	case w.store.appends <- j:
		w.purging.segment, w.purging.begun, w.purging.again = j, false, false
	default: // the appender is busy, and may be waiting for us
	}
}

// segmentBegun reports whether the segment that was asked for is there. It does
// not wait: the appender may be waiting for the writer.
func (w *writer) segmentBegun() bool {
	p := &w.purging
	if p.segment == nil || p.begun {
		return p.begun
	}
	select {
	case err := <-p.segment.done:
		if p.begun = err == nil; !p.begun {
			p.segment = nil
		}
	default:
		p.at = time.Now().Add(purgePoll)
	}
	return p.begun
}

// rowsLag reports whether the row of a conversation may still show what was
// deleted in it. Where nobody has made rows, none does.
func (w *writer) rowsLag() bool {
	for stream, seq := range w.purging.deletes {
		site, id, ok := stream.Conversation()
		if !ok {
			continue
		}
		var head int64
		found, err := w.find(`SELECT head FROM conversations WHERE site = ? AND id = ?`, []any{site, id}, &head)
		if err != nil || found && head < seq {
			return true
		}
	}
	return false
}

func (w *writer) emptyLog() {
	done, err := w.db.truncate()
	if err != nil {
		w.checkpointFailed(err)
		return
	}
	if !done {
		return // somebody is reading an old state
	}
	w.pages = 0
	crash.At(crash.PurgeTruncated)
	p := &w.purging
	p.segment, p.begun = nil, false
	if p.again {
		p.at = time.Now().Add(w.store.purgeAfter)
		return
	}
	p.at = time.Time{}
	clear(p.deletes)
	err = w.transact(true, func() error {
		_, err := w.exec(`DELETE FROM meta WHERE key = ?`, metaPurge)
		return err
	})
	if err != nil {
		w.applyFailed(0, fmt.Errorf("note the purge: %w", err))
	}
}

// resumePurge schedules the purge that the last process has not come to. Rows of
// conversations have to follow the deletes since the last time they were saved.
func (w *writer) resumePurge() error {
	var due int
	found, err := w.find(`SELECT value FROM meta WHERE key = ?`, []any{metaPurge}, &due)
	if err != nil || !found {
		return err
	}
	w.purging.at = time.Now().Add(w.store.purgeAfter)
	return w.each(`SELECT s.name, max(e.seq) FROM entries e JOIN streams s ON s.id = e.stream
		WHERE e.at >= (SELECT at FROM readers WHERE name = ?) AND e.type = 'delete' GROUP BY s.name`, []any{conversationReader}, func(rows *sql.Rows) error {
		var stream parley.Stream
		var seq int64
		err := rows.Scan((*string)(&stream), &seq)
		w.purging.deletes[stream] = seq
		return err
	})
}
