package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/parley-chat/parley"
)

// decide gives every entry of j its answer, and those that are new their place:
// they are staged until the journal has them. An error means that the database
// could not be asked; then nothing of j is staged.
func (a *appender) decide(j *appendJob) error {
	k, err := a.know(j.stream)
	if err != nil {
		return err
	}
	d := decision{a: a, k: k, job: j}
	stale, err := d.stale()
	if err != nil {
		return err
	}
	saved, mark := *k, len(a.fresh)
	touched := len(k.staged) > 0
	for i := range j.answers {
		if j.answers[i], err = d.entry(&j.answers[i].Entry, stale); err != nil {
			a.undo(k, &saved, mark)
			return err
		}
	}
	if !touched && len(k.staged) > 0 {
		a.touched = append(a.touched, k)
	}
	return nil
}

// undo takes back what a job has staged.
func (a *appender) undo(k, saved *known, mark int) {
	for i := mark; i < len(a.fresh); i++ {
		delete(k.ids, a.known.hash(&a.fresh[i]))
	}
	a.fresh = a.fresh[:mark]
	k.seq, k.control, k.count, k.staged, k.deletes = saved.seq, saved.control, saved.count, saved.staged, saved.deletes
}

// decision is the deciding of one job.
type decision struct {
	a    *appender
	k    *known
	job  *appendJob
	seen bool // tail has been taken
	tail tail
}

// pending returns the stream's pending entries. They are taken before the
// database is asked: what is missing here, it has.
func (d *decision) pending() tail {
	if !d.seen {
		d.tail, _ = d.a.store.pending.tail(d.k.stream)
		d.seen = true
	}
	return d.tail
}

// entry gives the answer for one entry.
func (d *decision) entry(e *parley.Entry, stale bool) (parley.Appended, error) {
	hash := d.a.known.hash(e)
	first, err := d.find(e, hash)
	switch {
	case err != nil:
		return parley.Appended{}, err
	case first != nil && !bytes.Equal(first.Digest, e.Digest):
		return parley.Appended{Err: parley.Errorf(parley.CodeConflict, "this message id was used before with other content").About(e.ID)}, nil
	case first != nil:
		return parley.Appended{Entry: d.asRead(first), Duplicate: true}, nil
	case stale:
		return parley.Appended{Err: parley.ErrStale}, nil
	case e.Type.Amends():
		return d.amendment(e, hash)
	}
	return parley.Appended{Entry: *d.a.stage(d.k, e, hash)}, nil
}

// find returns the entry that has the sender and id of e, or nil.
func (d *decision) find(e *parley.Entry, hash uint64) (*parley.Entry, error) {
	if d.k.lacks(hash) {
		return nil, nil
	}
	if seq, remembered := d.k.ids[hash]; remembered {
		if first := d.k.at(d.pending(), seq); first != nil && sameID(first, e) {
			return first, nil
		} else if first != nil { // two ids with one hash
			if first := d.scan(e); first != nil {
				return first, nil
			}
		}
	}
	d.pending() // before the database
	return d.a.store.entryByID(context.Background(), d.k.stream, e.Sender, e.ID)
}

func (d *decision) scan(e *parley.Entry) *parley.Entry {
	for _, entries := range [2][]*parley.Entry{d.k.staged, d.pending().entries} {
		if i := slices.IndexFunc(entries, func(o *parley.Entry) bool { return sameID(o, e) }); i >= 0 {
			return entries[i]
		}
	}
	return nil
}

func sameID(a, b *parley.Entry) bool { return a.ID == b.ID && a.Sender == b.Sender }

// stale reports whether a control entry above the job's expect is somebody
// else's: none of those in the job. A call that is made again finds its own
// entries there.
func (d *decision) stale() (bool, error) {
	expect := d.job.expect
	if expect < 0 || d.k.control <= expect {
		return false, nil
	}
	for _, entries := range [2][]*parley.Entry{d.k.staged, d.pending().entries} {
		for i := len(entries) - 1; i >= 0 && entries[i].Seq > expect; i-- {
			if entries[i].Type.Control() && !d.holds(entries[i]) {
				return true, nil
			}
		}
	}
	// Usually the newest one tells. As many as there are entries can be ours.
	stale := false
	err := d.a.store.read(context.Background(), "read control entries", func(r *readers) (*sql.Rows, error) {
		return r.controls.Query(string(d.k.stream), expect, len(d.job.answers)+1)
	}, func(rows *sql.Rows) error {
		e := parley.Entry{Stream: d.k.stream}
		if err := scanEntry(rows, &e); err != nil {
			return err
		}
		stale = stale || !d.holds(&e)
		return nil
	})
	return stale, err
}

func (d *decision) holds(e *parley.Entry) bool {
	return slices.ContainsFunc(d.job.answers, func(own parley.Appended) bool {
		return sameID(&own.Entry, e) && bytes.Equal(own.Entry.Digest, e.Digest)
	})
}

// know returns what is remembered about stream, or finds it out.
func (a *appender) know(stream parley.Stream) (*known, error) {
	k := a.known.get(stream)
	if k == nil {
		var err error
		if k, err = a.learn(stream); err != nil {
			return nil, err
		}
		a.known.put(k)
	}
	if k.complete {
		return k, nil
	}
	if k.touches++; k.touches == touchesToLoad && k.seq <= idsLoaded {
		return k, a.loadIDs(k)
	}
	return k, nil
}

// learn finds out where a stream ends. Of a new one it knows that it is empty.
func (a *appender) learn(stream parley.Stream) (*known, error) {
	k := &known{stream: stream, ids: map[uint64]int64{}}
	t, some := a.store.pending.tail(stream)
	if some {
		last := t.newest()
		k.seq, k.count, k.control = last.Seq, last.Count, t.control
		k.complete = t.entries[0].Seq == 1
		for _, e := range t.entries {
			k.ids[a.known.hash(e)] = e.Seq
		}
		return k, nil
	}
	h, err := a.store.storedHead(context.Background(), stream)
	k.seq, k.count, k.control = h.Seq, h.Count, h.Control
	k.complete = h.Seq == 0
	return k, err
}

// loadIDs reads all ids of a stream, so that the database need not be asked
// whether one is new. What is pending or staged is there already.
func (a *appender) loadIDs(k *known) error {
	rows, newest := int64(0), int64(0)
	err := a.store.read(context.Background(), "read ids", func(r *readers) (*sql.Rows, error) {
		return r.ids.Query(string(k.stream))
	}, func(r *sql.Rows) error {
		var e parley.Entry
		err := r.Scan(&e.Sender, &e.ID, &e.Seq)
		k.ids[a.known.hash(&e)] = e.Seq
		rows, newest = rows+1, max(newest, e.Seq)
		return err
	})
	if err == nil && rows != newest {
		return a.store.damaged("read ids", fmt.Errorf("%w: the index of %s holds %d ids, its newest entry is %d", errDamaged, k.stream, rows, newest))
	}
	k.complete = err == nil
	return err
}
