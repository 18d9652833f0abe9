package mongo

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
)

// amend decides about an edit or a delete that is no repeat as far as is known.
func (a *appender) amend(l *lane, j *job, e *parley.Entry) question {
	seq, _ := e.Target()
	f := &l.facts
	if !f.aimed && seq > 0 && seq <= l.seq {
		return func(ctx context.Context) error {
			docs, err := a.find(ctx,
				bson.D{field("stream", string(l.stream)), field("seq", seq)}, options.Find().SetLimit(1))
			if len(docs) > 0 {
				f.target = &docs[0]
			}
			f.aimed = err == nil
			return err
		}
	}
	if f.target == nil || !parley.EntryType(f.target.Type).Message() {
		a.stage(l, e, false)
		return nil
	}
	if a.store.redactions.apply(f.target.entry()).Redacted {
		return a.unlessRepeat(l, j, e, parley.Appended{Err: parley.ErrDeleted(e.Type).About(e.ID)})
	}
	if e.Type == parley.EntryDelete && !j.asked && !a.lanes.isNew(l, e) {
		return a.askRepeats(l, j) // readers lose the message when it is staged: it must not turn out to be a conflict
	}
	a.stage(l, e, e.Type == parley.EntryDelete)
	return nil
}

// redactions are the deletes that the database has, or may have any moment, and
// whose targets' documents still hold their bodies. Whoever reads those gets them
// without.
type redactions struct {
	some atomic.Bool // whether there are any: mostly there are none

	mu      sync.RWMutex
	streams map[string][]*entryDoc
}

func (r *redactions) add(d *entryDoc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.streams == nil {
		r.streams = map[string][]*entryDoc{}
	}
	r.streams[d.Stream] = append(r.streams[d.Stream], d)
	r.some.Store(true)
}

func (r *redactions) remove(d *entryDoc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rest := slices.DeleteFunc(r.streams[d.Stream], func(o *entryDoc) bool { return o == d })
	if r.streams[d.Stream] = rest; len(rest) == 0 {
		delete(r.streams, d.Stream)
	}
	r.some.Store(len(r.streams) > 0)
}

// apply returns e as readers see it.
func (r *redactions) apply(e parley.Entry) parley.Entry {
	if !r.some.Load() || e.Redacted {
		return e
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return applied(e, r.streams[string(e.Stream)])
}

// applied returns e, which is of the same stream as deletes, as it is behind them.
func applied(e parley.Entry, deletes []*entryDoc) parley.Entry {
	for _, d := range deletes {
		target, ok := e.Target()
		if e.Seq == d.Target || ok && e.Type == parley.EntryEdit && target == d.Target && e.Seq < d.Seq {
			return e.Redact()
		}
	}
	return e
}

// deleteDoc says that a delete is about to be inserted, and that its target must
// be blanked then. It holds the very document, so that whoever finds it after a
// crash can find out what became of the insert by making it again.
type deleteDoc struct {
	ID    bson.ObjectID `bson:"_id"` // the entry's
	Entry entryDoc      `bson:"entry"`
}

// noted returns the deletes that are written down, by stream: of one, or of all if it
// is empty. Another process on the same database may be about to blank what they are
// about. Who asks before it reads entries misses only deletes that come meanwhile.
func (s *Store) noted(ctx context.Context, stream parley.Stream) (map[string][]*entryDoc, error) {
	filter := bson.D{}
	if stream != "" {
		filter = bson.D{field("entry.stream", string(stream))}
	}
	docs, err := find[deleteDoc](ctx, s, s.c.deletes, filter)
	if err != nil || len(docs) == 0 {
		return nil, err
	}
	deletes := map[string][]*entryDoc{}
	for i := range docs {
		d := &docs[i].Entry
		deletes[d.Stream] = append(deletes[d.Stream], d)
	}
	return deletes, nil
}

// blank takes the bodies from the targets of deletes that are durable, and from
// the targets' edits, and the targets from the search index. Then nothing is left to be remembered about them.
func (s *Store) blank(ctx context.Context, deletes []*entryDoc) error {
	models, gone := make([]driver.WriteModel, len(deletes)), make([]driver.WriteModel, len(deletes))
	for i, d := range deletes {
		models[i] = driver.NewUpdateManyModel().SetFilter(bson.D{
			field("stream", d.Stream), field("seq", bson.D{{Key: "$lt", Value: d.Seq}}),
			field("$or", bson.A{
				bson.D{field("seq", d.Target)},
				bson.D{field("target", d.Target), field("type", string(parley.EntryEdit))},
			}),
		}).SetUpdate(redact())
		gone[i] = driver.NewDeleteManyModel().SetFilter(bson.D{field("stream", d.Stream), field("seq", d.Target)})
	}
	for _, part := range []struct {
		c      *driver.Collection
		models []driver.WriteModel
	}{{s.c.documents, gone}, {s.c.entries, models}} {
		err := s.once(ctx, func(ctx context.Context) error {
			_, err := part.c.BulkWrite(ctx, part.models, options.BulkWrite().SetOrdered(false))
			return err
		})
		if err != nil {
			return err
		}
	}
	return s.forgetDeletes(ctx, deletes)
}

func (s *Store) forgetDeletes(ctx context.Context, deletes []*entryDoc) error {
	ids := make([]bson.ObjectID, len(deletes))
	for i, d := range deletes {
		ids[i] = d.ID
	}
	return s.once(ctx, func(ctx context.Context) error {
		_, err := s.c.deletes.DeleteMany(ctx, bson.D{field("_id", bson.D{{Key: "$in", Value: ids}})})
		return err
	})
}

// finishDeletes does what a crash left undone, before anything can be read.
func (s *Store) finishDeletes(ctx context.Context) error {
	noted, err := find[deleteDoc](ctx, s, s.c.deletes, bson.D{})
	if err != nil {
		return err
	}
	for i := range noted {
		if err := s.retry(ctx, "finish a delete", func(ctx context.Context) error { return s.finishDelete(ctx, &noted[i].Entry) }); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) finishDelete(ctx context.Context, d *entryDoc) error {
	d.At = max(d.At, s.newest.Load()) // nobody has seen it, and all before it
	if _, err := s.c.entries.InsertOne(ctx, d); err != nil && !driver.IsDuplicateKeyError(err) {
		return err
	}
	found, err := findIn[entryDoc](ctx, s.c.entries, samePlace(d))
	if err != nil {
		return err
	}
	own := slices.IndexFunc(found, func(o entryDoc) bool { return o.ID == d.ID })
	switch {
	case len(found) == 0:
		return unavailable(errNotYet)
	case own < 0: // somebody else's entry has its place: it can never land any more
		return s.forgetDeletes(ctx, []*entryDoc{d})
	}
	if found[own].At < d.At {
		if _, err := s.c.entries.UpdateOne(ctx, bson.D{field("stream", d.Stream), field("seq", d.Seq)}, set(field("at", d.At))); err != nil {
			return err
		}
	}
	return s.blank(ctx, []*entryDoc{d})
}
