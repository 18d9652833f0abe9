package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// readAmendments finds the newest edit or delete of each message of a range.
const readAmendments = `SELECT ` + entryColumns + ` FROM entries e WHERE e.stream = (SELECT id FROM streams WHERE name = ?1) AND e.seq IN (
	SELECT max(a.seq) FROM entries a WHERE a.stream = (SELECT id FROM streams WHERE name = ?1)
	AND a.target BETWEEN ?2 AND ?3 AND a.seq <= ?4 AND NOT a.redacted GROUP BY a.target)`

// Amendments returns what became of the messages of a range; see bridge.Store.
func (s *Store) Amendments(ctx context.Context, stream parley.Stream, from, to, head int64) ([]parley.Entry, error) {
	if stream == "" {
		return nil, errNoStream
	}
	t, _ := s.pending.tail(stream) // first: what leaves it meanwhile is in the database
	stored, err := s.page(ctx, stream, func(r *readers) (*sql.Rows, error) {
		return r.amendments.QueryContext(ctx, string(stream), from, to, head)
	})
	if err != nil {
		return nil, err
	}
	newest := map[int64]parley.Entry{} // by seq of the message
	put := func(e parley.Entry) {
		if target, ok := e.Target(); ok && target >= from && target <= to && e.Seq <= head && !t.takesFrom(e.Seq) {
			newest[target] = e
		}
	}
	for _, e := range stored {
		put(e)
	}
	for _, e := range t.entries {
		put(*e)
	}
	return slices.SortedFunc(maps.Values(newest), func(a, b parley.Entry) int { return cmp.Compare(a.Seq, b.Seq) }), nil
}

// first returns where the history of a stream begins, 0 if it was never cut.
func (s *Store) first(ctx context.Context, stream parley.Stream) (first int64, err error) {
	err = s.read(ctx, "read where history begins", func(r *readers) (*sql.Rows, error) {
		return r.first.QueryContext(ctx, string(stream))
	}, func(rows *sql.Rows) error {
		var id, control, sum int64
		if err := rows.Scan(&id, &control, &first, &sum); err != nil {
			return err
		}
		return checkStream(id, control, first, string(stream), sum)
	})
	return first, err
}

// cutStep is how many entries one transaction of a cut goes through: others who
// write wait meanwhile, and what is in the search index takes a millisecond each.
const cutStep = 128

// Cut takes what was written before a position; see bridge.Store. It goes from
// the oldest on, and each step is a cut by itself: after a crash it goes on there.
func (s *Store) Cut(ctx context.Context, stream parley.Stream, first int64) (int64, error) {
	h, err := s.Head(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("cut %s: %w", stream, err)
	}
	first = min(first, h.Seq)
	if _, some := s.pending.tail(stream); some {
		if err := s.settle(ctx); err != nil { // a cut goes through the tables; an edit of what it takes may be anywhere
			return 0, fmt.Errorf("cut %s: %w", stream, err)
		}
	}
	for begins := max(h.First, 1); begins < first; {
		begins = min(begins+cutStep, first)
		if err := s.do(ctx, cutStep, workFunc(func(w *writer) error { return w.cut(stream, begins) })); err != nil {
			return 0, fmt.Errorf("cut %s: %w", stream, err)
		}
	}
	return s.first(ctx, stream)
}

// cut is one step of a cut.
func (w *writer) cut(stream parley.Stream, first int64) error {
	var id, control, had, sum int64
	found, err := w.find(`SELECT id, control, first, sum FROM streams WHERE name = ?`, []any{string(stream)}, &id, &control, &had, &sum)
	if err != nil {
		return err
	}
	if err := checkStream(id, control, had, string(stream), sum); found && err != nil {
		return err
	}
	if had >= first {
		return nil // somebody else was faster
	}
	var there int64
	if found, err = w.find(`SELECT seq FROM entries WHERE stream = ? AND seq = ?`, []any{id, first - 1}, &there); err != nil || !found {
		return unavailable(errBehind) // the disk has taken back what was applied; it comes again
	}
	if err := w.blank(id, stream, had, first); err != nil {
		return err
	}
	if _, err := w.exec(`UPDATE streams SET first = ?, sum = ? WHERE id = ?`, first, streamSum(id, control, first, string(stream)), id); err != nil {
		return err
	}
	if err := w.cutRow(stream, first); err != nil {
		return err
	}
	crash.At(crash.Cut)
	_, err = w.exec(setMeta, metaPurge, 1)
	w.purging.due(w.store.purgeAfter)
	return err
}

// Two queries, each with an index: with an OR, SQLite would walk the whole stream.
const (
	readBySeq   = `SELECT ` + entryColumns + ` FROM entries e WHERE e.stream = ?1 AND e.seq >= ?2 AND e.seq < ?3 AND NOT e.redacted`
	readEditsOf = `SELECT ` + entryColumns + ` FROM entries e WHERE e.stream = ?1 AND e.target >= ?2 AND e.target < ?3 AND NOT e.redacted
		AND e.type = 'edit' AND NOT (e.seq >= ?2 AND e.seq < ?3)`
)

// blank takes the bodies of what was written from a position to another, and of
// the edits of those messages wherever they are, and with them what the search
// finds it by.
func (w *writer) blank(id int64, stream parley.Stream, from, to int64) error {
	var written []parley.Entry
	for _, query := range [2]string{readBySeq, readEditsOf} {
		err := w.each(query, []any{id, from, to}, func(rows *sql.Rows) error {
			e := parley.Entry{Stream: stream}
			err := scanEntry(rows, &e)
			if e.Type.Written() {
				written = append(written, e)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return w.redact(id, written)
}

// cutRow brings the row of the conversation along.
func (w *writer) cutRow(stream parley.Stream, first int64) error {
	site, conversation, ok := stream.Conversation()
	if !ok {
		return nil
	}
	_, err := w.exec(`UPDATE conversations SET first = ?1, last_text = CASE WHEN last_seq < ?1 THEN '' ELSE last_text END
		WHERE site = ?2 AND id = ?3 AND first < ?1`, first, site, conversation)
	return err
}
