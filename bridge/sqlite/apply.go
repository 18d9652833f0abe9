package sqlite

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// Bringing journaled entries into the tables.
const (
	applyEvery  = time.Second            // how long entries wait for others
	applyHurry  = 8192                   // so many entries do not wait
	applyChunk  = 8192                   // entries of one transaction, about
	syncEvery   = 5 * time.Second        // how long applied entries wait for an fsync that makes them durable there too
	applyRetry  = 250 * time.Millisecond // after a failure that passes
	insertRows  = 32                     // of one statement
	streamCache = 1 << 16                // rows of streams whose ids are remembered
)

// Rows of the meta table.
const (
	metaApplied = "journal_applied" // newest batch in the tables; written in the transaction that brings it in
	metaSegment = "journal_segment" // where the journal of this run begins, 0 after a clean end

	setMeta = `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
)

// applyPending brings the oldest pending batches into the tables. It reports
// whether it could.
func (w *writer) applyPending() bool {
	s := w.store
	batches := s.pending.first(applyChunk)
	if len(batches) == 0 {
		return true
	}
	crash.At(crash.ApplyBegin)
	s.health.busySince.Store(time.Now().UnixNano())
	defer s.health.busySince.Store(0)
	last := batches[len(batches)-1].number
	entries, bytes := w.collect(batches)
	err := w.transact(true, func() error { return w.applyEntries(entries, last) }) // the journal has them until letGo
	if err != nil {
		w.applyFailed(len(entries), err)
		return false
	}
	s.health.failing.Store(false)
	s.health.behind.Store(nil)
	s.counters.applied.Add(int64(len(entries)))
	w.pages += 4 + bytes/2048 + 3*w.streamsIn(entries)
	s.pending.setApplied(last)
	if w.syncAt.IsZero() {
		w.syncAt = time.Now().Add(syncEvery)
	}
	return true
}

// syncDue reports whether what is applied should be made durable now.
func (w *writer) syncDue() bool {
	if w.syncAt.IsZero() || !w.up() {
		return false
	}
	some, many := w.store.pending.unsynced()
	return many || some && !time.Now().Before(w.syncAt)
}

// syncApplied makes durable what is applied, so that the journal can let go.
func (w *writer) syncApplied() {
	applied := w.store.pending.newestApplied()
	err := w.transact(false, func() error {
		_, err := w.exec(setMeta, metaApplied, int64(applied))
		return err
	})
	if err != nil {
		w.applyFailed(0, err)
		w.syncAt = time.Now().Add(applyRetry)
		return
	}
	w.letGo(applied)
}

// collect returns the entries of batches stream by stream.
func (w *writer) collect(batches []batch) (entries []*parley.Entry, bytes int) {
	entries = w.sorted[:0]
	for i := range batches {
		bytes += batches[i].bytes
		for k := range batches[i].entries {
			entries = append(entries, &batches[i].entries[k])
		}
	}
	// Stable: a stream's entries are in order already.
	slices.SortStableFunc(entries, func(a, b *parley.Entry) int { return cmp.Compare(a.Stream, b.Stream) })
	w.sorted = entries
	return entries, bytes
}

func (w *writer) streamsIn(entries []*parley.Entry) int {
	n := 0
	for i := range entries {
		if i == 0 || entries[i].Stream != entries[i-1].Stream {
			n++
		}
	}
	return n
}

// letGo drops batches that are durable in the database.
func (w *writer) letGo(number uint64) {
	crash.At(crash.ApplySynced)
	w.syncAt = time.Time{}
	w.store.pending.remove(number)
	if err := w.store.journal.Release(number); err != nil {
		w.store.logger.Warn("clean up the journal", "error", err)
	}
	crash.At(crash.JournalReused)
}

// applyEntries inserts entries, which come stream by stream, and notes the
// newest batch.
func (w *writer) applyEntries(entries []*parley.Entry, batch uint64) error {
	for len(entries) > 0 {
		n := 1
		for n < len(entries) && entries[n].Stream == entries[0].Stream {
			n++
		}
		if err := w.applyStream(entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	if err := w.insertRows(true); err != nil {
		return err
	}
	if _, err := w.exec(setMeta, metaApplied, int64(batch)); err != nil {
		return err
	}
	crash.At(crash.ApplyInserted)
	return nil
}

// applyStream inserts the entries of one stream.
func (w *writer) applyStream(entries []*parley.Entry) error {
	stream := entries[0].Stream
	id, err := w.streamID(stream)
	if err != nil {
		return err
	}
	control := int64(0)
	for _, e := range entries {
		if e.Type.Control() {
			control = e.Seq
		}
		w.row(id, e)
		if err := w.insertRows(e.Type.Amends()); err != nil {
			return err
		}
		if e.Type.Amends() {
			if err := w.amend(id, e); err != nil {
				return err
			}
		}
	}
	if control == 0 {
		return nil
	}
	return w.setControl(id, stream, control)
}

// setControl notes the newest control entry of a stream.
func (w *writer) setControl(id int64, stream parley.Stream, control int64) error {
	var first int64
	if _, err := w.find(`SELECT first FROM streams WHERE id = ?`, []any{id}, &first); err != nil {
		return err
	}
	_, err := w.exec(`UPDATE streams SET control = ?, sum = ? WHERE id = ?`, control, streamSum(id, control, first, string(stream)), id)
	return err
}

// row queues an entry for insertRows.
func (w *writer) row(stream int64, e *parley.Entry) {
	w.args = append(w.args, stream, e.Seq, e.ID, e.Sender, e.Device, string(e.Role), string(e.Type),
		notNil(e.Body), e.At, e.Count, notNil(e.Digest), entrySum(&w.scratch, e))
}

const entryArgs = 12

// insertRows inserts queued rows: full statements, and with all the rest too.
func (w *writer) insertRows(all bool) error {
	if len(w.args) >= insertRows*entryArgs {
		_, err := w.exec(insertMany, w.args...)
		w.args = w.args[:0]
		return err
	}
	if !all {
		return nil
	}
	for rest := w.args; len(rest) > 0; rest = rest[entryArgs:] {
		if _, err := w.exec(insertEntry, rest[:entryArgs]...); err != nil {
			return err
		}
	}
	w.args = w.args[:0]
	return nil
}

const (
	insertInto  = `INSERT OR FAIL INTO entries (stream, seq, id, sender, device, role, type, body, at, count, digest, sum) VALUES `
	insertRow   = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	insertEntry = insertInto + insertRow
)

var insertMany = insertInto + strings.Repeat(insertRow+", ", insertRows-1) + insertRow

// streamID returns the row of stream, and makes it if it does not exist.
func (w *writer) streamID(stream parley.Stream) (int64, error) {
	if id, ok := w.streamIDs[stream]; ok {
		return id, nil
	}
	var id, control, first, sum int64
	found, err := w.find(`SELECT id, control, first, sum FROM streams WHERE name = ?`, []any{string(stream)}, &id, &control, &first, &sum)
	if err != nil {
		return 0, err
	}
	if found {
		err = checkStream(id, control, first, string(stream), sum)
	} else {
		id, err = w.newStream(stream)
	}
	if err != nil {
		return 0, err
	}
	if len(w.streamIDs) >= streamCache {
		clear(w.streamIDs)
	}
	w.streamIDs[stream] = id
	return id, nil
}

func (w *writer) newStream(stream parley.Stream) (id int64, err error) {
	if _, err := w.find(`SELECT coalesce(max(id), 0) + 1 FROM streams`, nil, &id); err != nil {
		return 0, err
	}
	_, err = w.exec(`INSERT INTO streams (id, name, control, sum) VALUES (?, ?, 0, ?)`, id, string(stream), streamSum(id, 0, 0, string(stream)))
	return id, err
}

// applyFailed decides how to go on after a transaction of journaled entries
// failed. They stay pending, and in the journal.
func (w *writer) applyFailed(entries int, err error) {
	s := w.store
	s.health.failing.Store(true)
	s.counters.failures.Add(1)
	w.retryApply = time.Now().Add(applyRetry)
	err = s.explain(err)
	s.logger.Error("apply failed, the journal keeps the entries", "entries", entries, "error", err)
	switch classify(err) {
	case failureFull:
		if entries > 0 {
			s.health.behind.Store(&err)
		}
	case failureSuspect:
		w.suspend(err, firstBackoff)
	default: // a refusal contradicts what the appender decided
		w.suspend(fmt.Errorf("%w: %w", errDamaged, err), 0)
	}
}

// notNil keeps an empty value from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
