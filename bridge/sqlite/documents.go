package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/parley-chat/parley/bridge"
)

// indexReader names the search index's position in the readers table.
const indexReader = "index"

// The rows of documents. Those with id > 0 are in the order of their time, so that
// the newest hits are those with the highest ids; the few that came too late for
// that have negative ones.
const (
	findDocument   = `SELECT id, text, terms FROM documents WHERE stream = ? AND seq = ?`
	findRedacted   = `SELECT redacted FROM entries WHERE stream = ? AND seq = ?`
	newestDocument = `SELECT id, at FROM documents WHERE id > 0 ORDER BY id DESC LIMIT 1`
	lowestDocument = `SELECT id FROM documents ORDER BY id LIMIT 1`
	insertDocument = `INSERT INTO documents (id, stream, seq, text, at, terms) VALUES (?, ?, ?, ?, ?, ?)`
	updateDocument = `UPDATE documents SET text = ?, terms = ? WHERE id = ?`
	deleteDocument = `DELETE FROM documents WHERE id = ?`

	insertTerms = `INSERT INTO document_terms (rowid, terms) VALUES (?, ?)`
	deleteTerms = `INSERT INTO document_terms (document_terms, rowid, terms) VALUES ('delete', ?, ?)`
)

// SaveDocuments writes documents of the search index and its position; see
// bridge.Store. A document of what was deleted is not written.
func (s *Store) SaveDocuments(ctx context.Context, docs []bridge.Document, position int64) error {
	rows, size := make([]document, len(docs)), 1
	for i := range docs {
		var err error
		if rows[i], err = newDocument(&docs[i]); err != nil {
			return fmt.Errorf("save documents: %w", err)
		}
		size += 4 + len(docs[i].Tokens)/4
	}
	// The index takes rows in ascending order at one go.
	slices.SortFunc(rows, func(a, b document) int { return b.Compare(a.Place) })
	err := s.doLazily(ctx, size, workFunc(func(w *writer) error {
		for i := range rows {
			if err := w.saveDocument(&rows[i]); err != nil {
				return err
			}
		}
		return w.saveReader(indexReader, position)
	}))
	if err != nil {
		return fmt.Errorf("save documents: %w", err)
	}
	s.counters.documents.Add(int64(len(docs)))
	return nil
}

// IndexedTo returns the position of the last SaveDocuments, 0 if none.
func (s *Store) IndexedTo(ctx context.Context) (int64, error) {
	return s.readerAt(ctx, indexReader)
}

// metaIndex is the row of the meta table with the version of the rules by which
// texts got the tokens that are in the index.
const metaIndex = "index_version"

// renewIndex empties an index that was made by other rules, so that it is filled
// again from the beginning.
func (d *database) renewIndex(ctx context.Context, version int64) error {
	made, err := d.number(ctx, metaIndex)
	if err != nil || made == version {
		return err
	}
	tx, err := d.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing to do after a commit
	for _, statement := range []string{
		`INSERT INTO document_terms (document_terms) VALUES ('delete-all')`,
		`DELETE FROM documents`,
		`DELETE FROM readers WHERE name = '` + indexReader + `'`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, setMeta, metaIndex, version); err != nil {
		return err
	}
	return tx.Commit()
}

// document is a row on its way into the tables.
type document struct {
	bridge.Place
	text  int64
	terms terms
}

func newDocument(d *bridge.Document) (document, error) {
	site, conversation, kind := d.Stream.About()
	if kind == "" {
		return document{}, fmt.Errorf("%q has neither messages nor notes", d.Stream)
	}
	row := document{Place: d.Place, text: d.Text}
	if len(d.Tokens) == 0 {
		return row, nil
	}
	h := newHasher(site, kind)
	for _, token := range d.Tokens {
		row.terms = h.add(row.terms, termWord, token)
	}
	row.terms = h.add(row.terms, termConversation, conversation)
	row.terms = h.add(row.terms, termVisitor, d.Visitor)
	row.terms = h.add(row.terms, termSender, d.Sender)
	row.terms = row.terms.sorted()
	return row, nil
}

// saveDocument writes one document.
func (w *writer) saveDocument(d *document) error {
	stream, err := w.streamID(d.Stream)
	if err != nil {
		return err
	}
	var id, text int64
	var was terms
	found, err := w.find(findDocument, []any{stream, d.Seq}, &id, &text, (*[]byte)(&was))
	if err != nil {
		return err
	}
	switch {
	case !found && len(d.terms) == 0, found && d.text < text:
		return nil
	case !found:
		return w.addDocument(stream, d)
	case len(d.terms) == 0:
		return w.dropDocument(id, was)
	}
	return w.changeDocument(id, was, d)
}

func (w *writer) addDocument(stream int64, d *document) error {
	var redacted bool
	if _, err := w.find(findRedacted, []any{stream, d.Seq}, &redacted); err != nil || redacted {
		return err
	}
	id, err := w.documentID(d.At)
	if err != nil {
		return err
	}
	if _, err := w.exec(insertDocument, id, stream, d.Seq, d.text, d.At, []byte(d.terms)); err != nil {
		return err
	}
	_, err = w.exec(insertTerms, id, d.terms.String())
	return err
}

// documentID returns the id of a new document: the next one, or for one that is
// older than the newest the next negative one.
func (w *writer) documentID(at int64) (int64, error) {
	var id, newest, lowest int64
	found, err := w.find(newestDocument, nil, &id, &newest)
	if err != nil || !found || at >= newest {
		return id + 1, err
	}
	_, err = w.find(lowestDocument, nil, &lowest)
	return min(lowest, 0) - 1, err
}

func (w *writer) changeDocument(id int64, was terms, d *document) error {
	if bytes.Equal(was, d.terms) {
		_, err := w.exec(updateDocument, d.text, []byte(d.terms), id)
		return err
	}
	if _, err := w.exec(deleteTerms, id, was.String()); err != nil {
		return err
	}
	if _, err := w.exec(updateDocument, d.text, []byte(d.terms), id); err != nil {
		return err
	}
	_, err := w.exec(insertTerms, id, d.terms.String())
	return err
}

func (w *writer) dropDocument(id int64, was terms) error {
	if _, err := w.exec(deleteTerms, id, was.String()); err != nil {
		return err
	}
	_, err := w.exec(deleteDocument, id)
	return err
}

// forgetDocument removes the document of a message that is deleted, if it has
// one, together with its body.
func (w *writer) forgetDocument(stream, seq int64) error {
	var id, text int64
	var was terms
	found, err := w.find(findDocument, []any{stream, seq}, &id, &text, (*[]byte)(&was))
	if err != nil || !found {
		return err
	}
	return w.dropDocument(id, was)
}
