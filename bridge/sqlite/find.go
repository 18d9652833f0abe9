package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/parley-chat/parley/bridge"
)

const (
	documentsTo   = `SELECT id FROM documents WHERE id > 0 AND at <= ? ORDER BY at DESC, id DESC LIMIT 1`
	documentsLate = `SELECT 1 FROM documents WHERE id < 0 LIMIT 1`

	// CROSS JOIN: the index says what comes first, one row after the other.
	selectFound = `SELECT d.at, s.name, d.seq, d.text
		FROM document_terms t CROSS JOIN documents d ON d.id = t.rowid CROSS JOIN streams s ON s.id = d.stream
		WHERE t.document_terms MATCH ? AND t.rowid BETWEEN ? AND ? ORDER BY t.rowid DESC`
)

// FindDocuments searches the index; see bridge.Store.
func (s *Store) FindDocuments(ctx context.Context, q bridge.DocumentQuery) ([]bridge.Found, error) {
	match, err := matchOf(q)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	p := newFoundPage(q)
	if err := s.findLate(ctx, p, match); err != nil {
		return nil, err
	}
	from, to, err := s.documentRange(ctx, p)
	if err != nil {
		return nil, err
	}
	if from <= to {
		if err := s.search(ctx, match, from, to, p.next); err != nil {
			return nil, err
		}
	}
	return p.finish(), nil
}

// matchOf writes a query in the language of the index: all terms of one kind of
// stream, or all of the other.
func matchOf(q bridge.DocumentQuery) (string, error) {
	switch {
	case q.Site == "":
		return "", errEmptySite
	case len(q.Kinds) == 0, len(q.Tokens) == 0, q.Limit < 1:
		return "", errors.New("a query needs kinds, tokens and a limit")
	}
	kinds := make([]string, 0, len(q.Kinds))
	for _, kind := range q.Kinds {
		h, all := newHasher(q.Site, kind), terms(nil)
		for _, token := range q.Tokens {
			all = h.add(all, termWord, token)
		}
		for _, filter := range []struct {
			field termField
			value string
		}{{termConversation, q.Conversation}, {termVisitor, q.Visitor}, {termSender, q.Sender}} {
			if filter.value != "" {
				all = h.add(all, filter.field, filter.value)
			}
		}
		kinds = append(kinds, "("+all.sorted().String()+")")
	}
	return strings.Join(kinds, " OR "), nil
}

// findLate finds all documents that are not in the order of their ids.
func (s *Store) findLate(ctx context.Context, p *foundPage, match string) error {
	some := false
	err := s.query(ctx, "search", documentsLate, nil, func(*sql.Rows) error {
		some = true
		return nil
	})
	if err != nil || !some {
		return err
	}
	return s.search(ctx, match, -1<<62, -1, p.keepLate)
}

// documentRange returns the lowest and the highest id of those in order that are
// in time.
func (s *Store) documentRange(ctx context.Context, p *foundPage) (from, to int64, err error) {
	last := func(at int64) (id int64) {
		if err == nil {
			err = s.query(ctx, "search", documentsTo, []any{at}, func(rows *sql.Rows) error { return rows.Scan(&id) })
		}
		return id
	}
	if p.from > 0 {
		from = last(p.from - 1)
	}
	to = last(p.to)
	return from + 1, to, err
}

// search calls each for the documents that match and whose ids are in the range,
// the highest first, as long as it returns true.
func (s *Store) search(ctx context.Context, match string, from, to int64, each func(bridge.Found) bool) error {
	s.readMu.RLock()
	defer s.readMu.RUnlock()
	if s.readers == nil || s.health.final.Load() {
		return s.notOpen()
	}
	rows, err := s.readers.found.QueryContext(ctx, match, from, to)
	if err == nil {
		err = scanFound(rows, each)
	}
	if err != nil {
		return s.readFailed(ctx, "search", err)
	}
	return nil
}

func scanFound(rows *sql.Rows, each func(bridge.Found) bool) error {
	defer func() { _ = rows.Close() }() // its error is rows.Err's
	for rows.Next() {
		var f bridge.Found
		if err := rows.Scan(&f.At, (*string)(&f.Stream), &f.Seq, &f.Text); err != nil {
			return err
		}
		if !each(f) {
			return nil
		}
	}
	return rows.Err()
}

// foundPage makes a page of documents that come with falling times, those of one
// time in any order, and of late ones that come in any order before them.
type foundPage struct {
	query bridge.DocumentQuery
	from  int64 // server times
	to    int64
	late  []bridge.Found
	group []bridge.Found // those of one time that are not in found yet
	found []bridge.Found
}

func newFoundPage(q bridge.DocumentQuery) *foundPage {
	p := &foundPage{query: q, from: q.From, to: q.To}
	if p.to == 0 {
		p.to = 1<<62 - 1
	}
	if q.Before.At != 0 {
		p.to = min(p.to, q.Before.At)
	}
	return p
}

// wants reports whether a document is one of those that are looked for. The index
// may find one of another site: its terms are hashes.
func (p *foundPage) wants(f bridge.Found) bool {
	return f.At >= p.from && f.At <= p.to && f.Stream.Site() == p.query.Site &&
		(p.query.Before.At == 0 || p.query.Before.Compare(f.Place) < 0)
}

func (p *foundPage) keepLate(f bridge.Found) bool {
	if p.wants(f) {
		p.late = append(p.late, f)
	}
	return true
}

// next takes the next document and reports whether it wants more.
func (p *foundPage) next(f bridge.Found) bool {
	if len(p.group) > 0 && p.group[0].At != f.At {
		p.flush(p.group[0].At)
	}
	if p.wants(f) {
		p.group = append(p.group, f)
	}
	return len(p.found) < p.query.Limit
}

// flush moves the group to the others, and the late ones that are not older.
func (p *foundPage) flush(at int64) {
	p.late = slices.DeleteFunc(p.late, func(f bridge.Found) bool {
		if f.At >= at {
			p.group = append(p.group, f)
		}
		return f.At >= at
	})
	slices.SortFunc(p.group, func(a, b bridge.Found) int { return a.Compare(b.Place) })
	p.found = append(p.found, p.group...)
	p.group = p.group[:0]
}

func (p *foundPage) finish() []bridge.Found {
	if len(p.found) < p.query.Limit {
		if len(p.group) > 0 {
			p.flush(p.group[0].At)
		}
		p.flush(0)
	}
	return p.found[:min(len(p.found), p.query.Limit)]
}
