package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
)

var errNoStream = parley.Errorf(parley.CodeInvalid, "read without a stream")

func oldestFirst() bson.D { return bson.D{{Key: "seq", Value: 1}} }
func newestFirst() bson.D { return bson.D{{Key: "seq", Value: -1}} }

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
	noted, err := s.noted(ctx, stream)
	if err != nil {
		return nil, err
	}
	docs, err := s.page(ctx, stream, bson.D{{Key: "$gt", Value: after}}, oldestFirst(), limit)
	if err != nil {
		return nil, err
	}
	if err := checkDense(docs, after+1); err != nil {
		return nil, s.damaged(err)
	}
	return s.asRead(docs, noted), nil
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
	noted, err := s.noted(ctx, stream)
	if err != nil {
		return nil, err
	}
	docs, err := s.page(ctx, stream, bson.D{{Key: "$lt", Value: before}}, newestFirst(), limit)
	if err != nil || len(docs) == 0 {
		return nil, err
	}
	slices.Reverse(docs)
	first := docs[0].Seq
	if len(docs) < limit {
		first = 1
	}
	if err := checkDense(docs, first); err != nil {
		return nil, s.damaged(err)
	}
	return s.asRead(docs, noted), nil
}

func (s *Store) page(ctx context.Context, stream parley.Stream, seq, sort bson.D, limit int) ([]entryDoc, error) {
	return find[entryDoc](ctx, s, s.c.entries, bson.D{field("stream", string(stream)), field("seq", seq)},
		options.Find().SetSort(sort).SetLimit(int64(limit)).SetBatchSize(int32(min(limit+1, 1000))))
}

// asRead returns the entries as readers see them: behind the deletes of this process,
// those that were noted, and those among them.
func (s *Store) asRead(docs []entryDoc, noted map[string][]*entryDoc) []parley.Entry {
	if len(docs) == 0 {
		return nil
	}
	entries := make([]parley.Entry, len(docs))
	for i := range docs {
		entries[i] = applied(s.redactions.apply(docs[i].entry()), noted[docs[i].Stream])
	}
	for i := range docs {
		if docs[i].Type != string(parley.EntryDelete) {
			continue
		}
		target := slices.IndexFunc(docs[:i], func(d entryDoc) bool { return d.Stream == docs[i].Stream && d.Seq == docs[i].Target })
		if target < 0 || !entries[target].Type.Message() || entries[target].Redacted {
			continue
		}
		for j := target; j < i; j++ { // noted and blanked by another process while this was read
			if entries[j].Stream == entries[i].Stream {
				entries[j] = applied(entries[j], []*entryDoc{&docs[i]})
			}
		}
	}
	return entries
}

// Head returns the newest durable position of stream.
func (s *Store) Head(ctx context.Context, stream parley.Stream) (parley.Head, error) {
	if stream == "" {
		return parley.Head{}, errNoStream
	}
	h := parley.Head{Epoch: s.epoch}
	newest, err := s.newestOf(ctx, stream)
	if err == nil && newest != nil && newest.Seq > 1 { // what cannot be cut was not
		h.First, err = s.first(ctx, stream)
	}
	if err != nil {
		return parley.Head{}, fmt.Errorf("read head: %w", err)
	}
	if newest != nil {
		h.Seq, h.Control, h.Count = newest.Seq, newest.Control, newest.Count
	}
	return h, nil
}

// newestOf returns the newest entry of stream without its body, nil if it has none.
func (s *Store) newestOf(ctx context.Context, stream parley.Stream) (*entryDoc, error) {
	return one[entryDoc](ctx, s, s.c.entries, bson.D{field("stream", string(stream))},
		options.FindOne().SetSort(newestFirst()).SetProjection(bson.D{{Key: "body", Value: 0}}))
}

// EntriesSince returns entries of all streams by server time; see bridge.Store.
// Streams with entries of the same time come in the order of their names.
func (s *Store) EntriesSince(ctx context.Context, at int64, after *parley.Entry, limit int) ([]parley.Entry, error) {
	if limit < 1 {
		return nil, nil
	}
	filter := bson.D{field("at", bson.D{{Key: "$gte", Value: at}})}
	if after != nil {
		filter = bson.D{
			field("at", bson.D{{Key: "$gte", Value: max(at, after.At)}}),
			field("$or", bson.A{
				bson.D{field("at", bson.D{{Key: "$gt", Value: after.At}})},
				bson.D{field("stream", bson.D{{Key: "$gt", Value: string(after.Stream)}})},
				bson.D{field("stream", string(after.Stream)), field("seq", bson.D{{Key: "$gt", Value: after.Seq}})},
			}),
		}
	}
	noted, err := s.noted(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("read entries by time: %w", err)
	}
	docs, err := find[entryDoc](ctx, s, s.c.entries, filter, options.Find().
		SetSort(bson.D{{Key: "at", Value: 1}, {Key: "stream", Value: 1}, {Key: "seq", Value: 1}}).SetLimit(int64(limit)))
	if err != nil {
		return nil, fmt.Errorf("read entries by time: %w", err)
	}
	return s.asRead(docs, noted), nil
}

// find returns the documents that match, which must not be many.
func find[T any](ctx context.Context, s *Store, c *driver.Collection, filter bson.D, opts ...options.Lister[options.FindOptions]) (found []T, err error) {
	err = s.retry(ctx, "read "+c.Name(), func(ctx context.Context) error {
		found = nil
		cursor, err := c.Find(ctx, filter, opts...)
		if err != nil {
			return err
		}
		return cursor.All(ctx, &found) // closes it
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// one returns the first document that matches, nil if none does.
func one[T any](ctx context.Context, s *Store, c *driver.Collection, filter bson.D, opts ...options.Lister[options.FindOneOptions]) (found *T, err error) {
	err = s.retry(ctx, "read "+c.Name(), func(ctx context.Context) error {
		var doc T
		err := c.FindOne(ctx, filter, opts...).Decode(&doc)
		if errors.Is(err, driver.ErrNoDocuments) {
			found = nil
			return nil
		}
		found = &doc
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// damaged logs what must not be.
func (s *Store) damaged(err error) error {
	s.counters.failures.Add(1)
	s.logger.Error("store is damaged", "error", err)
	return err
}
