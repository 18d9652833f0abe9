package mongo

import (
	"cmp"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// tell tells the watcher what has become durable, then the callers.
func (a *appender) tell() error {
	var lanes []*lane
	for _, l := range a.active {
		if !l.asks && len(l.unwatched) > 0 {
			lanes = append(lanes, l)
		}
	}
	if len(lanes) == 0 {
		return nil
	}
	if err := a.raise(lanes); err != nil {
		return err
	}
	var entries []parley.Entry
	for _, l := range lanes {
		for _, d := range l.unwatched {
			entries = append(entries, a.store.redactions.apply(d.entry()))
		}
	}
	slices.SortStableFunc(entries, func(a, b parley.Entry) int { return cmp.Compare(a.At, b.At) })
	a.watched = max(a.watched, entries[len(entries)-1].At)
	for now := a.store.newest.Load(); now < a.watched; now = a.store.newest.Load() { // others' clocks may be ahead
		a.store.newest.CompareAndSwap(now, a.watched)
	}
	if fn := a.store.watch.Load(); fn != nil {
		(*fn)(entries)
	}
	crash.At(crash.Watched)
	for _, l := range lanes {
		a.told(l)
	}
	return nil
}

// raise lifts the server time of entries that would be told behind newer ones:
// devices that come back look for what is newer than what they have seen.
func (a *appender) raise(lanes []*lane) error {
	var models []driver.WriteModel
	var raised []func()
	for _, l := range lanes {
		at := a.watched
		for _, d := range l.unwatched {
			if d.At >= at {
				at = d.At
				continue
			}
			to := at
			models = append(models, driver.NewUpdateOneModel().
				SetFilter(bson.D{field("stream", d.Stream), field("seq", d.Seq)}).SetUpdate(set(field("at", to))))
			raised = append(raised, func() { d.At = to })
		}
	}
	if len(models) == 0 {
		return nil
	}
	ctx, cancel := a.store.limit(a.store.ctx)
	defer cancel()
	if _, err := a.store.c.entries.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
		return err
	}
	for _, set := range raised {
		set()
	}
	return nil
}

// told makes what was told the head of its stream, and answers the caller whose
// entry is among it.
func (a *appender) told(l *lane) {
	own := l.staged
	if own != nil && !slices.Contains(l.unwatched, own.doc) {
		own = nil
	}
	for _, d := range l.unwatched {
		if d.Type == string(parley.EntryDelete) {
			a.store.recent.forget(l.stream)
			if len(l.jobs) > 0 {
				l.jobs[0].forget()
			}
		}
		a.lanes.advance(l, d)
		a.store.recent.add(a.store.redactions.apply(d.entry()))
	}
	l.unwatched = nil
	if own == nil {
		return
	}
	l.staged, l.repeats = nil, false
	a.store.counters.entries.Add(1)
	if len(l.jobs) > 0 {
		l.jobs[0].know(own.doc)
		a.answer(l, parley.Appended{Entry: own.doc.entry()})
	}
}
