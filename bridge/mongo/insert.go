package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley/internal/crash"
)

// batch returns the lanes whose staged entry is to be inserted now: at most one
// entry of a stream, so that what fails in part leaves no hole.
func (a *appender) batch() []*lane {
	var batch []*lane
	bytes, now := 0, time.Now()
	for i, l := range a.active {
		if l.asks || l.staged == nil || len(l.unwatched) > 0 || l.staged.retryAt.After(now) || l.unnoted() {
			continue
		}
		batch = append(batch, l)
		if bytes += l.staged.doc.size(); len(batch) == batchEntries || bytes > batchBytes {
			a.active = append(slices.Clone(a.active[i+1:]), a.active[:i+1]...) // the rest come first next time
			break
		}
	}
	return batch
}

// insert inserts the staged entries of a batch and finds out what became of each.
// An error means that it is not known yet of some: the very same documents are
// inserted again then, which the unique indexes make harmless. Once an insert
// succeeds, or is refused because its place or its id is taken, none that hangs
// somewhere can land any more.
func (a *appender) insert(batch []*lane) error {
	if len(batch) == 0 {
		return nil
	}
	docs := make([]*entryDoc, len(batch))
	for i, l := range batch {
		docs[i] = l.staged.doc
	}
	ctx, cancel := a.store.limit(a.store.ctx)
	defer cancel()
	_, err := a.store.c.entries.InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
	crash.At(crash.JournalSynced)
	a.store.counters.batches.Add(1)
	a.store.counters.lastBatch.Store(int64(len(batch)))
	taken, err := a.sort(batch, err)
	if len(taken) == 0 {
		return err
	}
	if resolved := a.resolve(taken); err == nil {
		err = resolved
	}
	return err
}

// sort deals with an insert's answer: what is durable, what is refused for good,
// what is open. It returns those whose place or id is taken.
func (a *appender) sort(batch []*lane, err error) (taken []*lane, open error) {
	if err == nil {
		for _, l := range batch {
			a.landed(l)
		}
		return nil, nil
	}
	var bulk driver.BulkWriteException
	if !errors.As(err, &bulk) {
		for _, l := range batch {
			a.failed(l, err)
		}
		return nil, err
	}
	failures := map[int]driver.BulkWriteError{}
	for _, e := range bulk.WriteErrors {
		failures[e.Index] = e
	}
	if bulk.WriteConcernError != nil {
		open = fmt.Errorf("not on a majority: %s", bulk.WriteConcernError.Error())
	}
	for i, l := range batch {
		e, bad := failures[i]
		switch {
		case bad && duplicate(e.Code) && !l.known && !l.staged.open:
			a.mistaken(l)
		case bad && duplicate(e.Code):
			taken = append(taken, l)
		case bad && !l.staged.open && !passing(e.Code):
			a.refused(l, fmt.Errorf("the server refuses the document: %s (code %d)", e.Message, e.Code))
		case bad:
			open = fmt.Errorf("insert: %s (code %d)", e.Message, e.Code)
			l.staged.open = true
		case bulk.WriteConcernError != nil:
			l.staged.open = true
		default:
			a.landed(l)
		}
	}
	return taken, open
}

// mistaken deals with a stream that was taken for a new one. There was one attempt,
// and it was refused: nothing of it is left.
func (a *appender) mistaken(l *lane) {
	a.unstageNoted(l)
	l.failed, l.facts.weighed = true, false
}

// failed deals with an insert of which nothing is known.
func (a *appender) failed(l *lane, err error) {
	var command driver.CommandError
	if errors.As(err, &command) && !l.staged.open && forbidden(int(command.Code)) {
		a.refused(l, err)
		return
	}
	l.staged.open = true
}

// forbidden reports whether code says that nothing was done because it is not
// allowed.
func forbidden(code int) bool { return code == 13 || code == 18 || code == 8000 }

// refused answers an entry that was surely not stored.
func (a *appender) refused(l *lane, err error) {
	a.unstageNoted(l)
	a.store.logger.Error("append refused", "stream", l.stream, "error", err)
	a.drop(l, unavailable(err))
}

// landed makes a staged entry durable, to be told.
func (a *appender) landed(l *lane) {
	if l.staged.open {
		a.store.counters.resolved.Add(1)
	}
	l.unwatched = append(l.unwatched, l.staged.doc)
	if l.staged.deletes {
		l.chores.blanks = append(l.chores.blanks, l.staged.doc)
	}
}

func (a *appender) unstageNoted(l *lane) {
	if l.staged.noted {
		l.chores.voided = append(l.chores.voided, l.staged.doc)
	}
	a.unstage(l)
}

// samePlace matches the entries that have the place or the identity of d.
func samePlace(d *entryDoc) bson.D {
	return bson.D{field("$or", bson.A{
		bson.D{field("stream", d.Stream), field("seq", d.Seq)},
		bson.D{field("stream", d.Stream), field("sender", d.Sender), field("id", d.Name)},
	})}
}

const placesAtOnce = 50 // looked for with one query, at most

// resolve reads what is in the way of entries whose insert was refused as a
// duplicate. Which key it was is not asked of the server: not all tell. When a query
// does not come back in time, the next ones are for fewer places: the whole would never
// be found out about otherwise, on a server that has just come back and is slow.
func (a *appender) resolve(taken []*lane) (failed error) {
	for len(taken) > 0 {
		n := min(a.places, len(taken))
		found, err := a.inTheWay(taken[:n])
		if err != nil {
			a.places = max(1, a.places/4)
			for _, l := range taken {
				l.staged.open = true
			}
			return err
		}
		a.places = min(2*a.places, placesAtOnce)
		for _, l := range taken[:n] {
			if err := a.resolveOne(l, found); err != nil {
				failed = err
			}
		}
		taken = taken[n:]
	}
	return failed
}

// inTheWay returns the entries that have the places or the identities of staged ones.
func (a *appender) inTheWay(lanes []*lane) ([]entryDoc, error) {
	places := bson.A{}
	for _, l := range lanes {
		places = append(places, samePlace(l.staged.doc)[0].Value.(bson.A)...)
	}
	return a.find(a.store.ctx, bson.D{field("$or", places)})
}

// errNotYet means that an index has a key whose document the majority has not.
var errNotYet = errors.New("the entry in the way is not on a majority yet")

// resolveOne finds out what became of a staged entry by what is in its way.
func (a *appender) resolveOne(l *lane, found []entryDoc) error {
	d := l.staged.doc
	var inPlace, same *entryDoc
	for i := range found {
		f := &found[i]
		if f.Stream != d.Stream {
			continue
		}
		if f.Seq == d.Seq {
			inPlace = f
		}
		if f.Sender == d.Sender && f.Name == d.Name {
			same = f
		}
	}
	switch {
	case same != nil && same.ID == d.ID: // an earlier attempt landed
		d.At = same.At
		a.landed(l)
		return nil
	case same == nil && inPlace == nil:
		l.staged.open = true
		l.staged.retryAt = time.Now().Add(l.staged.wait.next())
		return nil
	}
	a.unstageNoted(l) // it can never land any more
	err := a.catchUp(l)
	if same != nil {
		l.jobs[0].know(same)
		l.repeats = true
	}
	return err
}

// catchUp reads what others have appended to a stream. Nothing of what is decided
// there holds any more.
func (a *appender) catchUp(l *lane) error {
	l.facts = facts{}
	l.jobs[0].forget()
	if !l.known {
		l.failed = true
		return nil
	}
	l.behind = true
	return a.readOn(a.store.ctx, l)
}

// readOn reads what is behind the lane's head, to be told. Until that has succeeded
// nothing is decided there.
func (a *appender) readOn(ctx context.Context, l *lane) error {
	var found []*entryDoc
	for after := l.seq; ; {
		docs, err := a.find(ctx,
			bson.D{field("stream", string(l.stream)), field("seq", bson.D{{Key: "$gt", Value: after}})},
			options.Find().SetSort(oldestFirst()).SetLimit(batchEntries))
		if err == nil {
			err = checkDense(docs, after+1)
		}
		if err != nil {
			return err
		}
		for i := range docs {
			found = append(found, &docs[i])
		}
		if len(docs) < batchEntries {
			l.behind, l.unwatched = false, found
			return nil
		}
		after += int64(len(docs))
	}
}

// find returns the entries that match, with one command and its limit.
func (a *appender) find(ctx context.Context, filter bson.D, opts ...options.Lister[options.FindOptions]) (docs []entryDoc, err error) {
	err = a.store.once(ctx, func(ctx context.Context) error {
		docs, err = findIn[entryDoc](ctx, a.store.c.entries, filter, opts...)
		return err
	})
	return docs, err
}

// findIn returns the documents that match, with one command.
func findIn[T any](ctx context.Context, c *driver.Collection, filter bson.D, opts ...options.Lister[options.FindOptions]) ([]T, error) {
	cursor, err := c.Find(ctx, filter, opts...)
	if err != nil {
		return nil, err
	}
	var found []T
	err = cursor.All(ctx, &found) // closes it
	return found, err
}

// onlyDuplicates reports whether an unordered insert failed at most because of
// documents that are there already.
func onlyDuplicates(err error) bool {
	if err == nil {
		return true
	}
	var bulk driver.BulkWriteException
	return errors.As(err, &bulk) && bulk.WriteConcernError == nil &&
		!slices.ContainsFunc(bulk.WriteErrors, func(e driver.BulkWriteError) bool { return !duplicate(e.Code) })
}
