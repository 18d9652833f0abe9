package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parley-chat/parley"
)

const (
	sentColumns  = `e.seq, e.id, e.sender, e.device, e.role, e.type, e.body, e.at, e.count, e.digest`
	entryColumns = sentColumns + `, e.redacted, e.sum`

	// Of a bare parameter SQLite wants to know the value: it would prepare the statement
	// anew for every one, which takes longer than reading a few entries.
	limited = ` LIMIT ? + 0`

	ofStream = ` FROM entries e WHERE e.stream = (SELECT id FROM streams WHERE name = ?)`

	readByID   = `SELECT ` + entryColumns + ofStream + ` AND e.sender = ? AND e.id = ?`
	readIDs    = `SELECT e.sender, e.id, e.seq` + ofStream + ` ORDER BY e.sender, e.id`
	readAfter  = `SELECT ` + entryColumns + ofStream + ` AND e.seq > ? ORDER BY e.seq` + limited
	readBefore = `SELECT ` + entryColumns + ofStream + ` AND e.seq < ? ORDER BY e.seq DESC` + limited
	readEdits  = `SELECT e.seq` + ofStream + ` AND e.target = ? AND e.type = 'edit'`
	readFirst  = `SELECT s.id, s.control, s.first, s.sum FROM streams s WHERE s.name = ?`
	readHead   = `SELECT s.id, s.control, s.first, s.sum, ` + entryColumns + ` FROM streams s JOIN entries e ON e.stream = s.id
		WHERE s.name = ? ORDER BY e.seq DESC LIMIT 1`

	readSince = `SELECT s.name, ` + entryColumns + ` FROM entries e JOIN streams s ON s.id = e.stream
		WHERE e.at >= ? ORDER BY e.at, e.stream, e.seq` + limited
	readSinceEntry = `SELECT s.name, ` + entryColumns + ` FROM entries e JOIN streams s ON s.id = e.stream
		WHERE (e.at, e.stream, e.seq) > (?, (SELECT id FROM streams WHERE name = ?), ?) AND e.at >= ?
		ORDER BY e.at, e.stream, e.seq` + limited
)

var readControls = `SELECT ` + entryColumns + ofStream + ` AND e.seq > ? AND e.type IN (` + quoted(parley.ControlTypes()) + `)
	ORDER BY e.seq DESC` + limited

// quoted returns types as a list of SQL.
func quoted(types []parley.EntryType) string {
	var list []string
	for _, t := range types {
		list = append(list, "'"+string(t)+"'")
	}
	return strings.Join(list, ", ")
}

// sentFields are the destinations of sentColumns.
func sentFields(e *parley.Entry) []any {
	return []any{
		&e.Seq, &e.ID, &e.Sender, &e.Device, (*string)(&e.Role), (*string)(&e.Type),
		(*[]byte)(&e.Body), &e.At, &e.Count, &e.Digest,
	}
}

// scanEntry reads a row that ends with entryColumns and compares it with its
// checksum. before are the destinations of the columns in front.
func scanEntry(rows *sql.Rows, e *parley.Entry, before ...any) error {
	var sum int64
	if err := rows.Scan(append(append(before, sentFields(e)...), &e.Redacted, &sum)...); err != nil {
		return err
	}
	var scratch []byte
	return checkEntry(&scratch, e, sum)
}

// Read returns the durable entries with seq > after, oldest first; see
// bridge.Store. A limit below 1 gives none.
func (s *Store) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	if stream == "" {
		return nil, errNoStream
	}
	if limit < 1 {
		return nil, nil
	}
	after = max(after, 0)
	t, _ := s.pending.tail(stream) // first: what leaves it meanwhile is in the database
	var entries []parley.Entry
	if len(t.entries) == 0 || t.entries[0].Seq > after+1 {
		var err error
		if entries, err = s.page(ctx, stream, func(r *readers) (*sql.Rows, error) {
			return r.after.QueryContext(ctx, string(stream), after, limit)
		}); err != nil {
			return nil, err
		}
	} else if err := s.readable(ctx); err != nil {
		return nil, err
	}
	for _, e := range t.entries[t.index(after+1+int64(len(entries))):] {
		if len(entries) >= limit {
			break
		}
		entries = append(entries, *e)
	}
	t.redact(entries)
	return entries, s.dense("read stream", entries, after+1)
}

// ReadBefore returns the newest entries with seq < before, oldest first; see
// bridge.Store. A limit below 1 gives none.
func (s *Store) ReadBefore(ctx context.Context, stream parley.Stream, before int64, limit int) ([]parley.Entry, error) {
	if stream == "" {
		return nil, errNoStream
	}
	if limit < 1 || before <= 1 {
		return nil, nil
	}
	t, _ := s.pending.tail(stream)
	held := t.entries[:t.index(before)]
	held = held[max(0, len(held)-limit):]
	var entries []parley.Entry
	if len(held) > 0 {
		before = held[0].Seq
	}
	if rest := limit - len(held); rest > 0 && before > 1 {
		var err error
		if entries, err = s.page(ctx, stream, func(r *readers) (*sql.Rows, error) {
			return r.before.QueryContext(ctx, string(stream), before, rest)
		}); err != nil {
			return nil, err
		}
		slices.Reverse(entries)
	} else if err := s.readable(ctx); err != nil {
		return nil, err
	}
	for _, e := range held {
		entries = append(entries, *e)
	}
	if len(entries) == 0 {
		return nil, nil
	}
	t.redact(entries)
	first := entries[0].Seq
	if len(entries) < limit {
		first = 1
	}
	return entries, s.dense("read stream", entries, first)
}

// index returns where in t the first entry with a seq of at least seq is.
func (t *tail) index(seq int64) int {
	if len(t.entries) == 0 {
		return 0
	}
	return int(min(max(seq-t.entries[0].Seq, 0), int64(len(t.entries))))
}

// dense takes the store down when entries have a hole.
func (s *Store) dense(action string, entries []parley.Entry, first int64) error {
	if err := checkDense(entries, first); err != nil {
		return s.damaged(action, err)
	}
	return nil
}

var errNoStream = parley.Errorf(parley.CodeInvalid, "read without a stream")

// page reads entries of one stream from the database.
func (s *Store) page(ctx context.Context, stream parley.Stream, query func(*readers) (*sql.Rows, error)) ([]parley.Entry, error) {
	var entries []parley.Entry
	err := s.read(ctx, "read stream", query, func(rows *sql.Rows) error {
		entries = append(entries, parley.Entry{Stream: stream})
		return scanEntry(rows, &entries[len(entries)-1])
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// entryByID returns the entry of the database with that sender and id, or nil.
func (s *Store) entryByID(ctx context.Context, stream parley.Stream, sender, id string) (*parley.Entry, error) {
	var found *parley.Entry
	err := s.read(ctx, "look for an id", func(r *readers) (*sql.Rows, error) {
		return r.byID.QueryContext(ctx, string(stream), sender, id)
	}, func(rows *sql.Rows) error {
		found = &parley.Entry{Stream: stream}
		return scanEntry(rows, found)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Head returns the newest durable position of stream.
func (s *Store) Head(ctx context.Context, stream parley.Stream) (parley.Head, error) {
	if stream == "" {
		return parley.Head{}, errNoStream
	}
	t, some := s.pending.tail(stream)
	if !some {
		return s.storedHead(ctx, stream)
	}
	e := t.newest()
	h := parley.Head{Epoch: s.epoch, Seq: e.Seq, Control: t.control, Count: e.Count}
	var err error
	h.First, err = s.first(ctx, stream)
	return h, err
}

// storedHead returns where stream ends in the database.
func (s *Store) storedHead(ctx context.Context, stream parley.Stream) (parley.Head, error) {
	h := parley.Head{Epoch: s.epoch}
	err := s.read(ctx, "read head", func(r *readers) (*sql.Rows, error) {
		return r.head.QueryContext(ctx, string(stream))
	}, func(rows *sql.Rows) error {
		var id, sum int64
		e := parley.Entry{Stream: stream}
		if err := scanEntry(rows, &e, &id, &h.Control, &h.First, &sum); err != nil {
			return err
		}
		h.Seq, h.Count = e.Seq, e.Count
		return checkStream(id, h.Control, h.First, string(stream), sum)
	})
	if err != nil {
		return parley.Head{}, err
	}
	return h, nil
}

// EntriesSince returns entries of all streams by server time; see bridge.Store.
// Streams with entries of the same time come in the order of their rows. It
// waits until what was pending at the call is in the database.
func (s *Store) EntriesSince(ctx context.Context, at int64, after *parley.Entry, limit int) ([]parley.Entry, error) {
	if limit < 1 {
		return nil, nil
	}
	if err := s.settle(ctx); err != nil {
		return nil, fmt.Errorf("read entries by time: %w", err)
	}
	var entries []parley.Entry
	err := s.read(ctx, "read entries by time", func(r *readers) (*sql.Rows, error) {
		if after == nil {
			return r.sinceFirst.QueryContext(ctx, at, limit)
		}
		return r.sinceNext.QueryContext(ctx, after.At, string(after.Stream), after.Seq, at, limit)
	}, func(rows *sql.Rows) error {
		var e parley.Entry
		err := scanEntry(rows, &e, (*string)(&e.Stream))
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// settlePatience is how long reads wait for tables that take nothing.
const settlePatience = 5 * time.Second

// settle waits until what is pending now is in the database. It gives up while the
// tables take nothing, which only the operator can mend.
func (s *Store) settle(ctx context.Context) error {
	number := s.pending.newestBatch()
	s.hurry.Add(1)
	defer s.hurry.Add(-1)
	signal(s.pending.added)
	began := time.Now()
	for {
		if err := s.health.down.Load(); err != nil {
			return unavailable(*err)
		}
		if err := s.health.behind.Load(); err != nil && time.Since(began) > settlePatience {
			return unavailable(*err)
		}
		lacks, moved := s.pending.lacks(number)
		if !lacks {
			return nil
		}
		select {
		case <-moved:
		case <-time.After(50 * time.Millisecond): // the database may have failed
		case <-s.stopped:
			return unavailable(errClosed)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readable reports whether reads are answered at all.
func (s *Store) readable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	s.readMu.RLock()
	defer s.readMu.RUnlock()
	if s.readers == nil || s.health.final.Load() {
		return s.notOpen()
	}
	return nil
}

// read runs a query and calls scan for every row. The lock is held throughout,
// so that the database is never closed under a reader.
func (s *Store) read(ctx context.Context, action string, query func(*readers) (*sql.Rows, error), scan func(*sql.Rows) error) error {
	s.readMu.RLock()
	defer s.readMu.RUnlock()
	if s.readers == nil || s.health.final.Load() {
		return s.notOpen()
	}
	rows, err := query(s.readers)
	if err == nil {
		err = scanAll(rows, scan)
	}
	if err != nil {
		return s.readFailed(ctx, action, err)
	}
	return nil
}

func (s *Store) notOpen() error {
	if err := s.health.down.Load(); err != nil {
		return unavailable(*err)
	}
	return unavailable(errClosed)
}

// query is read for a query that is not prepared.
func (s *Store) query(ctx context.Context, action, query string, args []any, scan func(*sql.Rows) error) error {
	return s.read(ctx, action, func(r *readers) (*sql.Rows, error) {
		return r.pool.QueryContext(ctx, query, args...)
	}, scan)
}

// errEmptySite guards queries that are made within a site.
var errEmptySite = errors.New("query without a site")
