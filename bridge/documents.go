package bridge

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/search"
)

// maxVisitors bounds the conversations whose visitors are remembered.
const maxVisitors = 10_000

// documents makes documents of entries. It belongs to one goroutine.
type documents struct {
	store    Store
	folds    *folds
	visitors map[parley.Stream]string
}

func newDocuments(store Store, f *folds) *documents {
	return &documents{store: store, folds: f, visitors: map[parley.Stream]string{}}
}

// searchable reports whether e says something about the search index.
func searchable(e *parley.Entry) bool {
	if !e.Type.Message() && !e.Type.Amends() {
		return false
	}
	_, _, kind := e.Stream.About()
	return kind != ""
}

type target struct {
	stream parley.Stream
	seq    int64
}

// of returns the documents that entries, in the order of their streams, give rise
// to: one of each message at most.
func (d *documents) of(ctx context.Context, entries []parley.Entry) ([]Document, error) {
	var order []target
	found := map[target]Document{}
	for i := range entries {
		e := &entries[i]
		if !searchable(e) || e.Redacted { // of what is deleted its delete tells
			continue
		}
		at := target{e.Stream, e.Seq}
		if e.Type.Amends() {
			seq, ok := e.Target()
			if !ok {
				continue
			}
			at.seq = seq
		}
		doc, ok := found[at]
		if !ok {
			var err error
			if doc, err = d.begin(ctx, e, at); err != nil {
				return nil, err
			}
			if doc.Seq == 0 {
				continue
			}
			order = append(order, at)
		}
		doc.Text, doc.Tokens = e.Seq, search.Tokens(textOf(e))
		found[at] = doc
	}
	docs := make([]Document, len(order))
	for i, at := range order {
		docs[i] = found[at]
	}
	return docs, nil
}

// textOf returns the text of a message or an edit; of a delete, none.
func textOf(e *parley.Entry) string {
	var b parley.TextBody
	if json.Unmarshal(e.Body, &b) != nil {
		return "" // one bad entry must not stop its readers
	}
	return b.Text
}

// begin returns the document of the message that e is or changes, still without
// its text; the zero one if there is no such message.
func (d *documents) begin(ctx context.Context, e *parley.Entry, at target) (Document, error) {
	if at.seq != e.Seq {
		page, err := d.store.Read(ctx, at.stream, at.seq-1, 1)
		if err != nil {
			return Document{}, fmt.Errorf("read what was edited: %w", err)
		}
		if len(page) == 0 || page[0].Seq != at.seq || !page[0].Type.Message() {
			return Document{}, nil
		}
		if page[0].Redacted && e.Type != parley.EntryDelete {
			return Document{}, nil
		}
		e = &page[0]
	}
	visitor, err := d.visitor(ctx, at.stream)
	if err != nil {
		return Document{}, err
	}
	return Document{Place: Place{At: e.At, Stream: e.Stream, Seq: e.Seq}, Visitor: visitor, Sender: e.Sender}, nil
}

// visitor returns whose conversation a stream of messages or notes belongs to.
func (d *documents) visitor(ctx context.Context, stream parley.Stream) (string, error) {
	if visitor, ok := d.visitors[stream]; ok {
		return visitor, nil
	}
	site, id, _ := stream.About()
	c, err := d.folds.peek(ctx, site, id)
	if err != nil {
		return "", fmt.Errorf("read conversation: %w", err)
	}
	if len(d.visitors) >= maxVisitors {
		clear(d.visitors)
	}
	d.visitors[stream] = c.Visitor
	return c.Visitor, nil
}
