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
	if cuts := a.store.cuts.Load(); j.cuts != cuts {
		j.forget()
		j.cuts = cuts
	}
	first, q := a.first(l, j, e)
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
		return a.unlessRepeat(l, j, e, parley.Appended{Err: parley.ErrStale})
	}
	if e.Type.Amends() {
		return a.amend(l, j, e)
	}
	a.stage(l, e, false)
	return nil
}

// first returns the entry with the sender and id of e where that is known, or asks
// where it is very likely there.
func (a *appender) first(l *lane, j *job, e *parley.Entry) (*parley.Entry, question) {
	if found := a.store.recent.get(e); found != nil {
		return found, nil
	}
	if d := j.found[identity{e.Sender, e.ID}]; d != nil {
		found := d.entry()
		return &found, nil
	}
	if !j.asked && (l.complete && !a.lanes.isNew(l, e) || !l.complete && l.repeats) {
		return nil, a.askRepeats(l, j)
	}
	return nil, nil
}

// unlessRepeat gives a refusal, once it is known that e is no repeat: that comes
// first.
func (a *appender) unlessRepeat(l *lane, j *job, e *parley.Entry, refusal parley.Appended) question {
	if !j.asked && !a.lanes.isNew(l, e) {
		return a.askRepeats(l, j)
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
		docs, err := a.find(ctx, bson.D{
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
		docs, err := a.find(ctx, bson.D{field("stream", string(l.stream))},
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

// askRepeats reads which of the job's entries are there already, all at once: who
// sends one again has often lost the answers to many.
func (a *appender) askRepeats(l *lane, j *job) question {
	bySender := map[string][]string{}
	for i := range j.answers[j.next:] {
		e := &j.answers[j.next+i].Entry
		bySender[e.Sender] = append(bySender[e.Sender], e.ID)
	}
	same := bson.A{}
	for sender, ids := range bySender {
		same = append(same, bson.D{field("stream", string(l.stream)), field("sender", sender), field("id", bson.D{{Key: "$in", Value: ids}})})
	}
	return func(ctx context.Context) error {
		docs, err := a.find(ctx, bson.D{field("$or", same)})
		if err != nil {
			return err
		}
		j.asked = true
		for i := range docs {
			j.know(&docs[i])
		}
		if len(docs) > 0 {
			a.readAhead(ctx, l, docs[0].Seq)
		}
		return nil
	}
}

// aheadOfRepeats is how many entries are read behind one that was sent again.
const aheadOfRepeats = 200

// readAhead remembers what is behind an entry that was sent again: that is what
// comes next. What cannot be read will be asked for when it comes.
func (a *appender) readAhead(ctx context.Context, l *lane, seq int64) {
	state := a.store.recent.state()
	docs, err := a.find(ctx,
		bson.D{field("stream", string(l.stream)), field("seq", bson.D{{Key: "$gt", Value: seq}})},
		options.Find().SetSort(oldestFirst()).SetLimit(aheadOfRepeats))
	if err == nil {
		a.store.recent.fill(state, a.store.asRead(docs, nil))
	}
}
