package mongo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

var _ bridge.Fillable = (*Filling)(nil)

// errUndecodable does not say what: there may be a secret in it.
var errUndecodable = errors.New("a row does not decode")

// ErrFilled is the error of FillAnew for a store that another FillAnew of the same
// origin has finished. It may have been used since.
var ErrFilled = errors.New("the store was filled with the same already")

// filling is what a store is being made. The zero value is a store as any other.
type filling struct {
	on     bool
	epoch  string // of a new one
	origin string // see metaDoc
}

// Filling is a store that is being made a copy of another; see bridge.Fillable.
type Filling struct {
	bridge.Portable // the store as well: what is in it so far
	store           *Store
}

// Fill opens the database of a store that is to be a copy of the one with that
// epoch: an empty one, or one that another Fill of the same epoch has left
// unfinished.
func Fill(ctx context.Context, o Options, epoch string) (*Filling, error) {
	if !parley.ValidID(epoch) {
		return nil, errors.New("the store to be copied has no epoch")
	}
	o.fill = filling{on: true, epoch: epoch}
	return fill(ctx, o)
}

// FillAnew opens the database of a store that is to hold what origin holds, with an
// epoch of its own: an empty one, or one that another FillAnew of the same origin has
// left unfinished. It fails with ErrFilled if one has finished it.
func FillAnew(ctx context.Context, o Options, origin string) (*Filling, error) {
	if origin == "" {
		return nil, errors.New("nothing is named that the store is to hold")
	}
	o.fill = filling{on: true, epoch: parley.NewID(parley.PrefixEpoch), origin: origin}
	return fill(ctx, o)
}

func fill(ctx context.Context, o Options) (*Filling, error) {
	s, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Filling{Portable: s, store: s}, nil
}

// Close disconnects. What is unfinished stays so.
func (f *Filling) Close() error { return f.store.Close() }

// PutEntries stores entries as they are; see bridge.Fillable. They are inserted in
// their order, so that what a failure leaves has no holes: then those that are there
// are compared, and the others follow.
func (f *Filling) PutEntries(ctx context.Context, entries []parley.Entry) error {
	s := f.store
	return s.retry(ctx, "put entries", func(ctx context.Context) error {
		var docs []*entryDoc
		for rest := entries; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].Stream == rest[0].Stream {
				n++
			}
			missing, err := s.missing(ctx, rest[:n])
			if err != nil {
				return err
			}
			docs, rest = append(docs, missing...), rest[n:]
		}
		if len(docs) == 0 {
			return nil
		}
		_, err := s.c.entries.InsertMany(ctx, docs, options.InsertMany().SetOrdered(true))
		return ifTaken(err) // by the try before, whose answer was lost
	})
}

// missing returns the documents of the entries of one stream that are not there.
func (s *Store) missing(ctx context.Context, entries []parley.Entry) ([]*entryDoc, error) {
	stream := entries[0].Stream
	newest, err := findIn[entryDoc](ctx, s.c.entries, bson.D{field("stream", string(stream))}, options.Find().SetSort(newestFirst()).SetLimit(1))
	if err != nil {
		return nil, err
	}
	var head, control int64
	if len(newest) > 0 {
		head, control = newest[0].Seq, newest[0].Control
	}
	if head >= entries[0].Seq {
		if err := s.compareEntries(ctx, entries, head); err != nil {
			return nil, err
		}
	}
	var docs []*entryDoc
	for i := range entries {
		e := &entries[i]
		if e.Seq <= head {
			continue
		}
		if e.Seq != head+1 {
			return nil, parley.Errorf(parley.CodeConflict, "%s: entry %d does not follow %d", stream, e.Seq, head)
		}
		if head = e.Seq; e.Type.Control() {
			control = e.Seq
		}
		d := docOf(e, control)
		d.Redacted = e.Redacted
		docs = append(docs, d)
	}
	return docs, nil
}

// compareEntries fails unless those of entries that are there, up to head, are the
// same.
func (s *Store) compareEntries(ctx context.Context, entries []parley.Entry, head int64) error {
	stream, from := entries[0].Stream, entries[0].Seq
	docs, err := findIn[entryDoc](ctx, s.c.entries, bson.D{
		field("stream", string(stream)), field("seq", bson.D{{Key: "$gte", Value: from}, {Key: "$lte", Value: head}}),
	}, options.Find().SetSort(oldestFirst()).SetLimit(int64(len(entries))))
	if err != nil {
		return err
	}
	for i := range docs {
		if have := docs[i].entry(); !same(&have, &entries[i]) {
			return parley.Errorf(parley.CodeConflict, "%s: there is another entry %d", stream, entries[i].Seq)
		}
	}
	return nil
}

func same(a, b *parley.Entry) bool {
	return a.Seq == b.Seq && a.ID == b.ID && a.Sender == b.Sender && a.Device == b.Device && a.Role == b.Role && a.Type == b.Type &&
		bytes.Equal(a.Body, b.Body) && a.At == b.At && a.Count == b.Count && bytes.Equal(a.Digest, b.Digest) && a.Redacted == b.Redacted
}

// PutStreams notes where histories begin; see bridge.Fillable.
func (f *Filling) PutStreams(ctx context.Context, states []bridge.StreamState) error {
	var rows []row
	for _, state := range states {
		if state.First > 0 {
			rows = append(rows, row{
				id: string(state.Stream), older: bson.D{field("first", bson.D{{Key: "$lt", Value: state.First}})},
				document: bson.D{field("_id", string(state.Stream)), field("first", state.First)},
			})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return f.store.retry(ctx, "put streams", func(ctx context.Context) error { return f.store.saveNewRows(ctx, f.store.c.cuts, rows) })
}

// PutRows stores rows; see bridge.Fillable.
func (f *Filling) PutRows(ctx context.Context, rows []bridge.Row) error {
	kinds := f.store.kinds()
	for len(rows) > 0 {
		name, n := rows[0].Kind, 0
		var values []json.RawMessage
		for ; n < len(rows) && rows[n].Kind == name; n++ {
			values = append(values, rows[n].Value)
		}
		k, ok := kinds[name]
		if !ok {
			return fmt.Errorf("there are no rows of the kind %q", name)
		}
		if err := k.put(ctx, values); err != nil {
			return fmt.Errorf("put %s: %w", name, err)
		}
		rows = rows[n:]
	}
	return nil
}

// Finish makes the store one that can be opened; see bridge.Fillable.
func (f *Filling) Finish(ctx context.Context) error {
	return f.store.retry(ctx, "finish the copy", func(ctx context.Context) error {
		_, err := f.store.c.meta.UpdateOne(ctx, bson.D{field("_id", metaStore)}, set(field("filling", false)))
		return err
	})
}

// listNumbers returns the numbers that a store keeps.
func (s *Store) listNumbers(ctx context.Context, after string, _ int) ([]bridge.Row, error) {
	var rows []bridge.Row
	add := func(name string, value int64) error {
		row, err := rowOf(bridge.Number{Name: name, Value: value}, name)
		if name > after {
			rows = append(rows, row)
		}
		return err
	}
	generation, err := one[generationDoc](ctx, s, s.c.meta, bson.D{field("_id", "generation")})
	if err != nil {
		return nil, err
	}
	if generation != nil {
		if err := add(bridge.NumberGeneration, generation.Next-1); err != nil {
			return nil, err
		}
	}
	projected, err := one[readerDoc](ctx, s, s.c.readers, bson.D{field("_id", conversationReader)})
	if err != nil || projected == nil {
		return rows, err
	}
	err = add(bridge.NumberProjected, projected.At)
	return rows, err
}

func (s *Store) putNumbers(ctx context.Context, values []json.RawMessage) error {
	for _, raw := range values {
		var v bridge.Number
		if err := json.Unmarshal(raw, &v); err != nil {
			return errUndecodable
		}
		err := s.retry(ctx, "put numbers", func(ctx context.Context) error {
			if v.Name == bridge.NumberProjected {
				return s.saveReader(ctx, conversationReader, v.Value)
			}
			_, err := s.c.meta.UpdateOne(ctx, bson.D{field("_id", v.Name)}, set(field("next", v.Value+1)), options.UpdateOne().SetUpsert(true))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
