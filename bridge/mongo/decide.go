package mongo

import (
	"bytes"
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
)

// facts are what was read in order to decide about one entry.
type facts struct {
	looked  bool      // first is known
	first   *entryDoc // the entry with its sender and id, nil if there is none
	aimed   bool      // target is known
	target  *entryDoc // what an edit or delete is about, nil if there is none
	weighed bool      // stale is known; of the whole job
	stale   bool
}

// question is something that has to be read before a lane can go on.
type question func(ctx context.Context) error

// decide gives the next entry of the lane's first job its answer, or its place.
// If it returns a question, that has to be answered first.
func (a *appender) decide(l *lane) question {
	j := l.jobs[0]
	e := &j.answers[j.next].Entry
	if !l.known && (l.failed || j.expect > 0 || e.Type.Amends()) {
		return a.askHead(l)
	}
	if l.behind {
		return func(ctx context.Context) error { return a.readOn(ctx, l) }
	}
	first, q := a.first(l, e)
	switch {
	case q != nil:
		return q
	case first != nil && !bytes.Equal(first.Digest, e.Digest):
		return a.answer(l, parley.Appended{Err: parley.Errorf(parley.CodeConflict, "this message id was used before with other content").About(e.ID)})
	case first != nil:
		return a.answer(l, parley.Appended{Entry: a.store.redactions.apply(*first), Duplicate: true})
	}
	if q := a.weigh(l, j); q != nil {
		return q
	}
	if l.facts.stale {
		return a.unlessRepeat(l, e, parley.Appended{Err: parley.ErrStale})
	}
	if e.Type.Amends() {
		return a.amend(l, e)
	}
	a.stage(l, e, false)
	return nil
}

// first returns the entry with the sender and id of e where that is known without
// asking, or very likely there.
func (a *appender) first(l *lane, e *parley.Entry) (*parley.Entry, question) {
	if found := a.store.recent.get(e); found != nil {
		return found, nil
	}
	if !l.facts.looked && l.complete && !a.lanes.isNew(l, e) {
		return nil, a.askFirst(l, e)
	}
	if l.facts.first == nil {
		return nil, nil
	}
	found := l.facts.first.entry()
	return &found, nil
}

// unlessRepeat gives a refusal, once it is known that e is no repeat: that comes
// first.
func (a *appender) unlessRepeat(l *lane, e *parley.Entry, refusal parley.Appended) question {
	if !l.facts.looked && !a.lanes.isNew(l, e) {
		return a.askFirst(l, e)
	}
	return a.answer(l, refusal)
}

// weigh finds out whether a control entry above the job's expect is somebody
// else's: none of those in the job. A call that is made again finds its own
// entries there. It does so once for a job, and again when others have written.
func (a *appender) weigh(l *lane, j *job) question {
	f := &l.facts
	switch {
	case f.weighed:
		return nil
	case j.expect < 0 || l.control <= j.expect:
		f.weighed, f.stale = true, false
		return nil
	case l.decider != nil && !j.holds(l.decider):
		f.weighed, f.stale = true, true
		return nil
	}
	return func(ctx context.Context) error {
		// As many as there are entries can be the job's own.
		docs, err := findIn[entryDoc](ctx, a.store.c.entries, bson.D{
			field("stream", string(l.stream)), field("seq", bson.D{{Key: "$gt", Value: j.expect}}),
			field("type", bson.D{{Key: "$in", Value: parley.ControlTypes()}}),
		}, options.Find().SetSort(newestFirst()).SetLimit(int64(len(j.answers)+1)).SetProjection(bson.D{{Key: "body", Value: 0}}))
		f.weighed = err == nil
		f.stale = slices.ContainsFunc(docs, func(d entryDoc) bool { return !j.holds(&d) })
		return err
	}
}

func (j *job) holds(d *entryDoc) bool {
	return slices.ContainsFunc(j.answers, func(own parley.Appended) bool {
		return own.Entry.Sender == d.Sender && own.Entry.ID == d.Name && bytes.Equal(own.Entry.Digest, d.Digest)
	})
}

// stage gives e its place behind the lane's head.
func (a *appender) stage(l *lane, e *parley.Entry, deletes bool) {
	placed := *e
	placed.Seq, placed.At, placed.Count, placed.Redacted = l.seq+1, a.at, l.count, false
	if e.Type.Message() {
		placed.Count++
	}
	control := l.control
	if e.Type.Control() {
		control = placed.Seq
	}
	l.staged = &staged{doc: docOf(&placed, control), deletes: deletes}
	if deletes {
		a.store.redactions.add(l.staged.doc)
	}
}

// unstage takes back what can never land any more.
func (a *appender) unstage(l *lane) {
	if l.staged.deletes {
		a.store.redactions.remove(l.staged.doc)
	}
	l.staged = nil
}

func (a *appender) askHead(l *lane) question {
	return func(ctx context.Context) error {
		docs, err := findIn[entryDoc](ctx, a.store.c.entries, bson.D{field("stream", string(l.stream))},
			options.Find().SetSort(newestFirst()).SetLimit(1).SetProjection(bson.D{{Key: "body", Value: 0}}))
		if err != nil {
			return err
		}
		var newest *entryDoc
		if len(docs) > 0 {
			newest = &docs[0]
		}
		l.learn(newest)
		return nil
	}
}

func (a *appender) askFirst(l *lane, e *parley.Entry) question {
	return func(ctx context.Context) error {
		docs, err := findIn[entryDoc](ctx, a.store.c.entries,
			bson.D{field("stream", string(l.stream)), field("sender", e.Sender), field("id", e.ID)}, options.Find().SetLimit(1))
		if len(docs) > 0 {
			l.facts.first = &docs[0]
		}
		l.facts.looked = err == nil
		return err
	}
}
