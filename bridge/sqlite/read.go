package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/parley-chat/parley"
)

const (
	entryColumns = `e.seq, e.id, e.sender, e.device, e.role, e.type, e.body, e.at, e.count, e.digest`

	readByID = `SELECT ` + entryColumns + ` FROM entries e WHERE e.stream = ? AND e.sender = ? AND e.id = ?`

	readAfter = `SELECT ` + entryColumns + ` FROM entries e
		WHERE e.stream = (SELECT id FROM streams WHERE name = ?) AND e.seq > ? ORDER BY e.seq LIMIT ?`
	readBefore = `SELECT ` + entryColumns + ` FROM entries e
		WHERE e.stream = (SELECT id FROM streams WHERE name = ?) AND e.seq < ? ORDER BY e.seq DESC LIMIT ?`
	readHead = `SELECT e.seq, s.control, e.count FROM streams s JOIN entries e ON e.stream = s.id
		WHERE s.name = ? ORDER BY e.seq DESC LIMIT 1`

	readSince = `SELECT s.name, ` + entryColumns + ` FROM entries e JOIN streams s ON s.id = e.stream
		WHERE e.at >= ? ORDER BY e.at, e.stream, e.seq LIMIT ?`
	readSinceEntry = `SELECT s.name, ` + entryColumns + ` FROM entries e JOIN streams s ON s.id = e.stream
		WHERE (e.at, e.stream, e.seq) > (?, (SELECT id FROM streams WHERE name = ?), ?) AND e.at >= ?
		ORDER BY e.at, e.stream, e.seq LIMIT ?`
)

// entryFields are the destinations of entryColumns.
func entryFields(e *parley.Entry) []any {
	return []any{
		&e.Seq, &e.ID, &e.Sender, &e.Device, (*string)(&e.Role), (*string)(&e.Type),
		(*[]byte)(&e.Body), &e.At, &e.Count, &e.Digest,
	}
}

func scanEntry(rows *sql.Rows, e *parley.Entry) error { return rows.Scan(entryFields(e)...) }

// Read returns the durable entries with seq > after, oldest first; see
// bridge.Store. A limit below 1 gives none.
func (s *Store) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	return s.page(ctx, stream, limit, func(r *readers) (*sql.Rows, error) {
		return r.after.QueryContext(ctx, string(stream), after, limit)
	})
}

// ReadBefore returns the newest entries with seq < before, oldest first; see
// bridge.Store. A limit below 1 gives none.
func (s *Store) ReadBefore(ctx context.Context, stream parley.Stream, before int64, limit int) ([]parley.Entry, error) {
	entries, err := s.page(ctx, stream, limit, func(r *readers) (*sql.Rows, error) {
		return r.before.QueryContext(ctx, string(stream), before, limit)
	})
	slices.Reverse(entries)
	return entries, err
}

func (s *Store) page(ctx context.Context, stream parley.Stream, limit int, query func(*readers) (*sql.Rows, error)) ([]parley.Entry, error) {
	if stream == "" {
		return nil, parley.Errorf(parley.CodeInvalid, "read without a stream")
	}
	if limit < 1 {
		return nil, nil
	}
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

// Head returns the newest durable position of stream.
func (s *Store) Head(ctx context.Context, stream parley.Stream) (parley.Head, error) {
	if stream == "" {
		return parley.Head{}, parley.Errorf(parley.CodeInvalid, "head without a stream")
	}
	h := parley.Head{Epoch: s.epoch}
	err := s.read(ctx, "read head", func(r *readers) (*sql.Rows, error) {
		return r.head.QueryContext(ctx, string(stream))
	}, func(rows *sql.Rows) error {
		return rows.Scan(&h.Seq, &h.Control, &h.Count)
	})
	if err != nil {
		return parley.Head{}, err
	}
	return h, nil
}

// EntriesSince returns entries of all streams by server time; see bridge.Store.
// Streams with entries of the same time come in the order in which they were
// first written.
func (s *Store) EntriesSince(ctx context.Context, at int64, after *parley.Entry, limit int) ([]parley.Entry, error) {
	if limit < 1 {
		return nil, nil
	}
	var entries []parley.Entry
	err := s.read(ctx, "read entries by time", func(r *readers) (*sql.Rows, error) {
		if after == nil {
			return r.sinceFirst.QueryContext(ctx, at, limit)
		}
		return r.sinceNext.QueryContext(ctx, after.At, string(after.Stream), after.Seq, at, limit)
	}, func(rows *sql.Rows) error {
		var e parley.Entry
		err := rows.Scan(append([]any{(*string)(&e.Stream)}, entryFields(&e)...)...)
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// read runs a query and calls scan for every row. The lock is held throughout,
// so that the database is never closed under a reader.
func (s *Store) read(ctx context.Context, action string, query func(*readers) (*sql.Rows, error), scan func(*sql.Rows) error) error {
	s.readMu.RLock()
	defer s.readMu.RUnlock()
	if s.readers == nil {
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
