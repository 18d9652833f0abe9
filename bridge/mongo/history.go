package mongo

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// cutDoc says where the history of a stream begins. Streams that were never cut
// have none.
type cutDoc struct {
	Stream string `bson:"_id"`
	First  int64  `bson:"first"`
}

// Amendments returns what became of the messages of a range; see bridge.Store.
func (s *Store) Amendments(ctx context.Context, stream parley.Stream, from, to, head int64) ([]parley.Entry, error) {
	if stream == "" {
		return nil, errNoStream
	}
	noted, err := s.noted(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("read amendments: %w", err)
	}
	docs, err := find[entryDoc](ctx, s, s.c.entries, bson.D{
		field("stream", string(stream)),
		field("target", bson.D{{Key: "$gte", Value: max(from, 1)}, {Key: "$lte", Value: to}}),
		field("seq", bson.D{{Key: "$lte", Value: head}}),
		field("redacted", bson.D{{Key: "$ne", Value: true}}),
	}, options.Find().SetSort(oldestFirst()))
	if err != nil {
		return nil, fmt.Errorf("read amendments: %w", err)
	}
	newest := map[int64]parley.Entry{} // by seq of the message
	for i, e := range s.asRead(docs, noted) {
		if !e.Redacted {
			newest[docs[i].Target] = e
		}
	}
	return slices.SortedFunc(maps.Values(newest), func(a, b parley.Entry) int { return cmp.Compare(a.Seq, b.Seq) }), nil
}

// first returns where the history of a stream begins, 0 if it was never cut.
func (s *Store) first(ctx context.Context, stream parley.Stream) (int64, error) {
	d, err := one[cutDoc](ctx, s, s.c.cuts, bson.D{field("_id", string(stream))})
	if err != nil || d == nil {
		return 0, err
	}
	return d.First, nil
}

// firsts returns where the histories of streams begin; those that were never cut
// are missing.
func (s *Store) firsts(ctx context.Context, streams []string) (map[string]int64, error) {
	docs, err := findIn[cutDoc](ctx, s.c.cuts, bson.D{field("_id", bson.D{{Key: "$in", Value: streams}})})
	firsts := make(map[string]int64, len(docs))
	for _, d := range docs {
		firsts[d.Stream] = d.First
	}
	return firsts, err
}

// cutStep is how many entries one command of a cut goes through.
const cutStep = 200

// Cut takes what was written before a position; see bridge.Store. It goes from
// the oldest on, and each step is a cut by itself: after a crash it goes on there.
func (s *Store) Cut(ctx context.Context, stream parley.Stream, first int64) (int64, error) {
	h, err := s.Head(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("cut %s: %w", stream, err)
	}
	first = min(first, h.Seq)
	for begins := max(h.First, 1); begins < first; {
		from := begins
		begins = min(begins+cutStep, first)
		if err := s.cut(ctx, stream, from, begins); err != nil {
			return 0, fmt.Errorf("cut %s: %w", stream, err)
		}
	}
	return s.first(ctx, stream)
}

// cut is one step of a cut. Who saves conversations and documents waits: what was
// read before it must not be written after it.
func (s *Store) cut(ctx context.Context, stream parley.Stream, from, to int64) error {
	s.cutting.Lock()
	defer s.cutting.Unlock()
	defer func() {
		s.recent.forget(stream)
		s.cuts.Add(1)
	}()
	return s.retry(ctx, "cut", func(ctx context.Context) error {
		if err := s.blankRange(ctx, stream, from, to); err != nil {
			return err
		}
		crash.At(crash.Cut)
		if err := s.saveRows(ctx, s.c.cuts, []row{{
			id: string(stream), older: bson.D{field("first", bson.D{{Key: "$lt", Value: to}})},
			document: bson.D{field("_id", string(stream)), field("first", to)},
		}}); err != nil {
			return err
		}
		if _, err := s.c.documents.DeleteMany(ctx, bson.D{field("stream", string(stream)), field("seq", bson.D{{Key: "$lt", Value: to}})}); err != nil {
			return err
		}
		return s.cutRow(ctx, stream, to)
	})
}

// blankRange takes the bodies of what was written from a position to another, and
// of the edits of those messages wherever they are.
func (s *Store) blankRange(ctx context.Context, stream parley.Stream, from, to int64) error {
	inside := bson.D{{Key: "$gte", Value: from}, {Key: "$lt", Value: to}}
	_, err := s.c.entries.UpdateMany(ctx, bson.D{
		field("stream", string(stream)), field("seq", inside), field("type", bson.D{{Key: "$in", Value: writtenTypes()}}),
	}, redact())
	if err != nil {
		return err
	}
	_, err = s.c.entries.UpdateMany(ctx, bson.D{
		field("stream", string(stream)), field("target", inside), field("type", string(parley.EntryEdit)),
	}, redact())
	return err
}

// writtenTypes are those of entries that hold what people wrote.
func writtenTypes() []parley.EntryType { return []parley.EntryType{parley.EntryText, parley.EntryEdit} }

// redact is the update that makes of an entry what Entry.Redact does.
func redact() bson.D { return set(field("body", []byte("{}")), field("redacted", true)) }

// cutRow brings the row of the conversation along.
func (s *Store) cutRow(ctx context.Context, stream parley.Stream, first int64) error {
	site, conversation, ok := stream.Conversation()
	if !ok {
		return nil
	}
	older := bson.D{field("_id", key(site, conversation)), field("first", bson.D{{Key: "$lt", Value: first}})}
	without := append(slices.Clone(older), field("last_seq", bson.D{{Key: "$lt", Value: first}}))
	if _, err := s.c.conversations.UpdateOne(ctx, without, set(field("first", first), field("last_text", ""))); err != nil {
		return err
	}
	_, err := s.c.conversations.UpdateOne(ctx, older, set(field("first", first)))
	return err
}
