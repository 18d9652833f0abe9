package sqlite

import (
	"context"
	"database/sql"
	"slices"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// deletion is a delete that is journaled, or about to be, and what it takes the
// body from: the message and its edits. They are redacted in the tables when the
// delete is applied; until then whoever reads them does it.
type deletion struct {
	seq      int64 // of the delete
	redacted []int64
}

// amendment gives the answer for an edit or a delete that is not there yet.
func (d *decision) amendment(e *parley.Entry, hash uint64) (parley.Appended, error) {
	target, _ := e.Target()
	message, err := d.message(target)
	if err != nil {
		return parley.Appended{}, err
	}
	if message != nil && message.Redacted {
		return parley.Appended{Err: parley.ErrDeleted(e.Type).About(e.ID)}, nil
	}
	if e.Type == parley.EntryEdit || message == nil {
		return parley.Appended{Entry: *d.a.stage(d.k, e, hash)}, nil
	}
	edits, err := d.edits(target)
	if err != nil {
		return parley.Appended{}, err
	}
	staged := d.a.stage(d.k, e, hash)
	d.k.deletes = append(d.k.deletes, deletion{seq: staged.Seq, redacted: append(edits, target)})
	return parley.Appended{Entry: *staged}, nil
}

// message returns the message with that seq as it is read, nil if there is none.
func (d *decision) message(seq int64) (*parley.Entry, error) {
	found := d.k.at(d.pending(), seq)
	if found == nil && seq > 0 && seq <= d.k.seq {
		err := d.a.store.read(context.Background(), "look for a message", func(r *readers) (*sql.Rows, error) {
			return r.after.Query(string(d.k.stream), seq-1, 1)
		}, func(rows *sql.Rows) error {
			found = &parley.Entry{Stream: d.k.stream}
			return scanEntry(rows, found)
		})
		if err != nil {
			return nil, err
		}
	}
	if found == nil || !found.Type.Message() {
		return nil, nil
	}
	e := d.asRead(found)
	return &e, nil
}

// edits returns the seqs of the edits of a message.
func (d *decision) edits(target int64) (seqs []int64, err error) {
	for _, entries := range [2][]*parley.Entry{d.k.staged, d.pending().entries} {
		for _, e := range entries {
			if e.Type != parley.EntryEdit {
				continue
			}
			if of, _ := e.Target(); of == target {
				seqs = append(seqs, e.Seq)
			}
		}
	}
	err = d.a.store.read(context.Background(), "look for edits", func(r *readers) (*sql.Rows, error) {
		return r.edits.Query(string(d.k.stream), target)
	}, func(rows *sql.Rows) error {
		var seq int64
		err := rows.Scan(&seq)
		seqs = append(seqs, seq) // perhaps for the second time
		return err
	})
	return seqs, err
}

// asRead returns what a reader sees of e, which is staged, pending or stored.
func (d *decision) asRead(e *parley.Entry) parley.Entry {
	for _, deletes := range [2][]deletion{d.k.deletes, d.pending().deletes} {
		for i := range deletes {
			if slices.Contains(deletes[i].redacted, e.Seq) {
				return e.Redact()
			}
		}
	}
	return *e
}

// redact takes the bodies from entries, a part of the stream without holes, whose
// delete is pending.
func (t *tail) redact(entries []parley.Entry) {
	for _, d := range t.deletes {
		for _, seq := range d.redacted {
			if len(entries) == 0 || seq < entries[0].Seq {
				continue
			}
			if i := seq - entries[0].Seq; i < int64(len(entries)) {
				entries[i] = entries[i].Redact()
			}
		}
	}
}

// takesFrom reports whether a pending delete takes the body from an entry.
func (t *tail) takesFrom(seq int64) bool {
	return slices.ContainsFunc(t.deletes, func(d deletion) bool { return slices.Contains(d.redacted, seq) })
}

// setTarget notes what an edit or a delete is about.
const setTarget = `UPDATE entries SET target = ? WHERE stream = ? AND seq = ?`

// amend notes what an edit or a delete, whose row is there, is about. For a
// delete it takes the body from the message and from all edits that came before.
func (w *writer) amend(stream int64, e *parley.Entry) error {
	target, ok := e.Target()
	if !ok {
		return nil
	}
	if _, err := w.exec(setTarget, target, stream, e.Seq); err != nil {
		return err
	}
	if e.Type != parley.EntryDelete {
		return nil
	}
	var found []parley.Entry
	err := w.each(`SELECT `+entryColumns+` FROM entries e WHERE e.stream = ?1 AND e.seq < ?3 AND NOT e.redacted
		AND (e.seq = ?2 OR e.target = ?2 AND e.type = 'edit') ORDER BY e.seq <> ?2`, []any{stream, target, e.Seq}, func(rows *sql.Rows) error {
		found = append(found, parley.Entry{Stream: e.Stream})
		return scanEntry(rows, &found[len(found)-1])
	})
	if err != nil {
		return err
	}
	if len(found) == 0 || found[0].Seq != target || !found[0].Type.Message() {
		return nil
	}
	if err := w.redact(stream, found); err != nil {
		return err
	}
	crash.At(crash.Redacted)
	_, err = w.exec(setMeta, metaPurge, 1)
	w.purging.deleted(e.Stream, e.Seq, w.store.purgeAfter)
	return err
}

// redact overwrites entries, and takes the messages among them from the search
// index.
func (w *writer) redact(stream int64, entries []parley.Entry) error {
	for i := range entries {
		r := entries[i].Redact()
		if _, err := w.exec(`UPDATE entries SET body = ?, redacted = 1, sum = ? WHERE stream = ? AND seq = ?`,
			[]byte(r.Body), entrySum(&w.scratch, &r), stream, r.Seq); err != nil {
			return err
		}
		if !r.Type.Message() {
			continue
		}
		if err := w.forgetDocument(stream, r.Seq); err != nil {
			return err
		}
	}
	return nil
}
