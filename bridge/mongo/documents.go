package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/search"
)

// documentDoc is what the search index knows about a message. Its id is its place:
// the newest have the highest ones.
type documentDoc struct {
	ID     string   `bson:"_id"`
	Scope  string   `bson:"scope"` // site and kind of the stream
	Tokens []string `bson:"tokens"`
	Stream string   `bson:"stream"`
	Seq    int64    `bson:"seq"`
	At     int64    `bson:"at"`
	Text   int64    `bson:"text"` // seq of the entry that has the text
}

// placeID returns the id of what is at p. Ids have the order of places, from
// behind: no name in a stream has a character below the space.
func placeID(p bridge.Place) string { return fmt.Sprintf("%016x %s %016x", p.At, p.Stream, p.Seq) }

// What a document is found by begins with a letter that says what it is.
const (
	tokenWord         = "w"
	tokenConversation = "c"
	tokenVisitor      = "v"
	tokenSender       = "s"
)

func scopeOf(site string, kind parley.TopicKind) string { return site + "/" + string(kind) }

func documentDocOf(d *bridge.Document) (documentDoc, error) {
	site, conversation, kind := d.Stream.About()
	if kind == "" {
		return documentDoc{}, fmt.Errorf("%q has neither messages nor notes", d.Stream)
	}
	doc := documentDoc{ID: placeID(d.Place), Scope: scopeOf(site, kind), Stream: string(d.Stream), Seq: d.Seq, At: d.At, Text: d.Text}
	if len(d.Tokens) == 0 {
		return doc, nil
	}
	for _, token := range d.Tokens {
		doc.Tokens = append(doc.Tokens, tokenWord+token)
	}
	doc.Tokens = append(doc.Tokens, tokenConversation+conversation, tokenVisitor+d.Visitor, tokenSender+d.Sender)
	return doc, nil
}

// indexReader names the search index's position among the readers.
const indexReader = "index"

// SaveDocuments writes documents of the search index and its position; see
// bridge.Store. A document of what was cut is not written.
func (s *Store) SaveDocuments(ctx context.Context, docs []bridge.Document, position int64) error {
	rows := make([]documentDoc, len(docs))
	streams := make([]string, len(docs))
	for i := range docs {
		var err error
		if rows[i], err = documentDocOf(&docs[i]); err != nil {
			return fmt.Errorf("save documents: %w", err)
		}
		streams[i] = rows[i].Stream
	}
	slices.Sort(streams)
	streams = slices.Compact(streams)
	s.cutting.Lock()
	defer s.cutting.Unlock()
	return s.retry(ctx, "save documents", func(ctx context.Context) error {
		if len(rows) > 0 {
			if err := s.saveDocuments(ctx, rows, streams); err != nil {
				return err
			}
		}
		return s.saveReader(ctx, indexReader, position)
	})
}

func (s *Store) saveDocuments(ctx context.Context, docs []documentDoc, streams []string) error {
	firsts, err := s.firsts(ctx, streams)
	if err != nil {
		return err
	}
	var saved []row
	var gone []driver.WriteModel
	for _, d := range docs {
		older := bson.D{field("text", bson.D{{Key: "$lte", Value: d.Text}})}
		if d.Seq < firsts[d.Stream] {
			continue
		}
		if len(d.Tokens) == 0 {
			gone = append(gone, driver.NewDeleteOneModel().SetFilter(append(bson.D{field("_id", d.ID)}, older...)))
			continue
		}
		document, err := documentOf(d)
		if err != nil {
			return err
		}
		saved = append(saved, row{id: d.ID, older: older, document: document})
	}
	if len(saved) > 0 {
		if err := s.saveNewRows(ctx, s.c.documents, saved); err != nil {
			return err
		}
	}
	if len(gone) == 0 {
		return nil
	}
	_, err = s.c.documents.BulkWrite(ctx, gone, options.BulkWrite().SetOrdered(false))
	return err
}

// IndexedTo returns the position of the last SaveDocuments, 0 if none.
func (s *Store) IndexedTo(ctx context.Context) (int64, error) { return s.readerAt(ctx, indexReader) }

// FindDocuments searches the index; see bridge.Store.
func (s *Store) FindDocuments(ctx context.Context, q bridge.DocumentQuery) ([]bridge.Found, error) {
	switch {
	case q.Site == "":
		return nil, fmt.Errorf("search: %w", errEmptySite)
	case len(q.Kinds) == 0, len(q.Tokens) == 0, q.Limit < 1:
		return nil, errors.New("search: a query needs kinds, tokens and a limit")
	}
	one, cancel := s.limit(ctx) // what took too long once is not tried again
	defer cancel()
	docs, err := findIn[documentDoc](one, s.c.documents, documentFilter(q),
		options.Find().SetSort(bson.D{{Key: "_id", Value: -1}}).SetLimit(int64(q.Limit)).SetProjection(bson.D{{Key: "tokens", Value: 0}}))
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("search: %w", ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("search: %w", unavailable(err))
	}
	found := make([]bridge.Found, len(docs))
	for i, d := range docs {
		found[i] = bridge.Found{Place: bridge.Place{At: d.At, Stream: parley.Stream(d.Stream), Seq: d.Seq}, Text: d.Text}
	}
	return found, nil
}

func documentFilter(q bridge.DocumentQuery) bson.D {
	var scopes bson.A
	for _, kind := range q.Kinds {
		scopes = append(scopes, scopeOf(q.Site, kind))
	}
	filter := bson.D{field("tokens", bson.D{{Key: "$all", Value: documentTokens(q)}}), field("scope", bson.D{{Key: "$in", Value: scopes}})}
	var places bson.D
	if q.From > 0 {
		places = append(places, field("$gte", fmt.Sprintf("%016x", q.From)))
	}
	switch {
	case q.Before.At != 0 && (q.To == 0 || q.Before.At <= q.To):
		places = append(places, field("$lt", placeID(q.Before)))
	case q.To != 0:
		places = append(places, field("$lt", fmt.Sprintf("%016x", q.To+1)))
	}
	if len(places) > 0 {
		filter = append(filter, field("_id", places))
	}
	return filter
}

// documentTokens returns what a document must have, what few have first: the
// server looks for that in the index, and for the rest in what it finds.
func documentTokens(q bridge.DocumentQuery) []string {
	var tokens []string
	for _, filter := range []struct{ field, value string }{
		{tokenConversation, q.Conversation}, {tokenVisitor, q.Visitor}, {tokenSender, q.Sender},
	} {
		if filter.value != "" {
			tokens = append(tokens, filter.field+filter.value)
		}
	}
	words := slices.SortedFunc(slices.Values(q.Tokens), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) // long words are rare ones
	})
	for _, word := range words {
		tokens = append(tokens, tokenWord+word)
	}
	return tokens
}

// indexDoc says by which rules texts got the tokens that are in the index.
type indexDoc struct {
	ID      string `bson:"_id"`
	Version int64  `bson:"version"`
}

// renewIndex empties an index that was made by other rules, so that it is filled
// again from the beginning.
func (s *Store) renewIndex(ctx context.Context) error {
	made, err := one[indexDoc](ctx, s, s.c.meta, bson.D{field("_id", indexReader)})
	if err != nil || made != nil && made.Version == search.Version {
		return err
	}
	return s.retry(ctx, "empty the search index", func(ctx context.Context) error {
		if _, err := s.c.readers.DeleteOne(ctx, bson.D{field("_id", indexReader)}); err != nil {
			return err
		}
		if _, err := s.c.documents.DeleteMany(ctx, bson.D{}); err != nil {
			return err
		}
		_, err := s.c.meta.UpdateOne(ctx, bson.D{field("_id", indexReader)}, set(field("version", int64(search.Version))), options.UpdateOne().SetUpsert(true))
		return err
	})
}
