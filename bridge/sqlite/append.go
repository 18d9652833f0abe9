package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// Append adds entries to the end of stream; see bridge.Store. The store keeps
// the entries' Body and Digest: the caller must not write to them any more.
func (s *Store) Append(ctx context.Context, stream parley.Stream, entries []parley.Entry, expect int64) ([]parley.Appended, error) {
	if stream == "" {
		return nil, parley.Errorf(parley.CodeInvalid, "append without a stream")
	}
	if len(entries) < 1 || len(entries) > bridge.MaxAppend {
		return nil, parley.Errorf(parley.CodeInvalid, "append of %d entries, 1 to %d are allowed", len(entries), bridge.MaxAppend)
	}
	a := &appendWork{
		stream: stream, expect: expect,
		entries: slices.Clone(entries), // a caller that gives up may use its slice again
		answers: make([]parley.Appended, len(entries)),
	}
	if err := s.do(ctx, len(entries), a); err != nil {
		return nil, fmt.Errorf("append to %s: %w", stream, err)
	}
	s.counters.answered(a.answers)
	return a.answers, nil
}

// appendWork is one Append in a transaction.
type appendWork struct {
	stream  parley.Stream
	entries []parley.Entry
	expect  int64
	answers []parley.Appended
}

func (a *appendWork) apply(w *writer) error {
	h, err := w.head(a.stream)
	if err != nil {
		return err
	}
	stale, err := a.stale(w, h)
	if err != nil {
		return err
	}
	for i := range a.entries {
		if a.answers[i], err = a.appendEntry(w, h, &a.entries[i], stale); err != nil {
			return err
		}
	}
	return nil
}

// head returns the head of stream, and makes the stream if it does not exist.
func (w *writer) head(stream parley.Stream) (*head, error) {
	if h := w.heads.get(stream); h != nil {
		return h, nil
	}
	h := &head{}
	found, err := w.find(`SELECT id, control FROM streams WHERE name = ?`, []any{string(stream)}, &h.stream, &h.control)
	if err != nil {
		return nil, err
	}
	if found {
		_, err = w.find(`SELECT seq, count FROM entries WHERE stream = ? ORDER BY seq DESC LIMIT 1`, []any{h.stream}, &h.seq, &h.count)
	} else {
		h.stream, err = w.newStream(stream)
	}
	if err != nil {
		return nil, err
	}
	w.heads.put(stream, h)
	return h, nil
}

func (w *writer) newStream(stream parley.Stream) (int64, error) {
	r, err := w.exec(`INSERT INTO streams (name) VALUES (?)`, string(stream))
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}

// stale reports whether a control entry above a.expect is somebody else's: none
// of those in this call. A call that is made again finds its own entries there.
func (a *appendWork) stale(w *writer, h *head) (bool, error) {
	if a.expect < 0 || h.control <= a.expect {
		return false, nil
	}
	// Usually the newest one tells. As many as there are entries can be ours.
	stale := false
	err := w.each(`SELECT sender, id, digest FROM entries
		WHERE stream = ? AND seq > ? AND type IN ('opened', 'assigned', 'closed', 'reopened')
		ORDER BY seq DESC LIMIT ?`, []any{h.stream, a.expect, len(a.entries) + 1}, func(rows *sql.Rows) error {
		var e parley.Entry
		if err := rows.Scan(&e.Sender, &e.ID, &e.Digest); err != nil {
			return err
		}
		stale = stale || !a.holds(&e)
		return nil
	})
	return stale, err
}

func (a *appendWork) holds(e *parley.Entry) bool {
	return slices.ContainsFunc(a.entries, func(own parley.Entry) bool {
		return own.ID == e.ID && own.Sender == e.Sender && bytes.Equal(own.Digest, e.Digest)
	})
}

// appendEntry gives the answer for one entry. The error is the transaction's.
func (a *appendWork) appendEntry(w *writer, h *head, e *parley.Entry, stale bool) (parley.Appended, error) {
	if !stale {
		added, inserted, err := w.insert(h, a.stream, e)
		if err != nil || inserted {
			return parley.Appended{Entry: added}, err
		}
	}
	first := parley.Entry{Stream: a.stream}
	found, err := w.find(readByID, []any{h.stream, e.Sender, e.ID}, entryFields(&first)...)
	if err != nil {
		return parley.Appended{}, err
	}
	switch {
	case !found && stale:
		return parley.Appended{Err: parley.ErrStale}, nil
	case !found:
		return parley.Appended{}, fmt.Errorf("entry %s was refused as a duplicate and is not there", e.ID)
	case !bytes.Equal(first.Digest, e.Digest):
		return parley.Appended{Err: parley.Errorf(parley.CodeConflict, "this message id was used before with other content").About(e.ID)}, nil
	}
	return parley.Appended{Entry: first, Duplicate: true}, nil
}

// insert adds e behind h, unless its (stream, sender, id) exists.
func (w *writer) insert(h *head, stream parley.Stream, e *parley.Entry) (added parley.Entry, inserted bool, err error) {
	added = *e
	added.Stream, added.Seq, added.At, added.Count = stream, h.seq+1, w.at, h.count
	if e.Type.Message() {
		added.Count++
	}
	r, err := w.exec(insertEntry, h.stream, added.Seq, added.ID, added.Sender, added.Device,
		string(added.Role), string(added.Type), notNil(added.Body), added.At, added.Count, notNil(added.Digest))
	if err != nil {
		return parley.Entry{}, false, err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return parley.Entry{}, false, err
	}
	h.seq, h.count = added.Seq, added.Count
	w.fresh = append(w.fresh, added)
	if !e.Type.Control() {
		return added, true, nil
	}
	h.control = added.Seq
	_, err = w.exec(`UPDATE streams SET control = ? WHERE id = ?`, h.control, h.stream)
	return added, true, err
}

const insertEntry = `INSERT INTO entries (stream, seq, id, sender, device, role, type, body, at, count, digest)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (stream, sender, id) DO NOTHING`

// notNil keeps an empty value from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
