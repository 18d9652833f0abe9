package mongo

import (
	"hash/maphash"
	"time"

	"github.com/parley-chat/parley"
)

// Bounds of what the appender remembers about streams.
const (
	lanesKept  = 1 << 14 // of a generation
	idsKept    = 1 << 18 // of a generation
	idsOfLane  = 1024    // a longer stream's ids are looked up
	generation = 5 * time.Minute
)

// lane is what the appender knows about one stream, and does for it. The entries
// of a stream are inserted one after the other: the next is decided when the one
// before is durable and has been told.
type lane struct {
	stream parley.Stream

	known   bool  // seq, count and control are those of the head
	behind  bool  // others have appended what has not been read yet
	failed  bool  // an insert as the first entry did not succeed: the head must be read
	seq     int64 // 0 while not known: the stream is taken for a new one
	count   int64
	control int64
	decider *entryDoc // the newest control entry, nil if that is not known

	repeats bool // the last entry was there already: who sends one again often has more

	ids      map[uint64]struct{} // hashes of sender and id
	complete bool                // all ids of the stream are there

	jobs      []*job
	facts     facts       // about the first job's next entry
	staged    *staged     // its document, on its way
	chores    chores      // for deletes
	unwatched []*entryDoc // durable, and not told to the watcher yet
	asks      bool        // a question about it is under way; nothing of the lane but jobs changes here until then
	putOff    bool        // there was no room for its question
	waits     time.Time   // until then for others' answers
	active    bool
}

// staged is an entry that has its place, until it is known what became of it.
type staged struct {
	doc     *entryDoc
	open    bool      // an insert may have landed, or land yet
	wait    pauses    // between attempts
	retryAt time.Time // of the next
	deletes bool      // it deletes a message
	noted   bool      // and that is in the list of deletes
}

// lanes remembers lanes that have nothing to do. It has two generations: when the
// young one is full, or has had its time, it becomes the old one, and what was in
// the old one and not used since is forgotten.
type lanes struct {
	young, old map[parley.Stream]*lane
	ids        int // in the young generation, about
	since      time.Time
	seed       maphash.Seed
}

func newLanes() *lanes {
	return &lanes{young: map[parley.Stream]*lane{}, since: time.Now(), seed: maphash.MakeSeed()}
}

func (c *lanes) of(s parley.Stream) *lane {
	if l, ok := c.young[s]; ok {
		return l
	}
	l, ok := c.old[s]
	if !ok {
		l = &lane{stream: s}
	}
	c.young[s] = l
	if !l.asks {
		c.ids += len(l.ids)
	}
	return l
}

// trim starts a new generation where one is due. Lanes that have work go with it.
func (c *lanes) trim(active []*lane) {
	if len(c.young) < lanesKept && c.ids < idsKept && time.Since(c.since) < generation {
		return
	}
	c.old, c.young, c.ids, c.since = c.young, map[parley.Stream]*lane{}, 0, time.Now()
	for _, l := range active {
		c.of(l.stream)
	}
}

func (c *lanes) hash(sender, id string) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	_, _ = h.WriteString(sender) // never fails
	_ = h.WriteByte(0)
	_, _ = h.WriteString(id)
	return h.Sum64()
}

// advance makes d, which is durable, the lane's newest entry.
func (c *lanes) advance(l *lane, d *entryDoc) {
	if d.Seq == 1 {
		l.complete, l.ids = true, map[uint64]struct{}{}
	}
	l.known, l.failed = true, false
	l.seq, l.count = d.Seq, d.Count
	if d.Control == d.Seq {
		l.decider = d
	}
	l.control = d.Control
	if !l.complete {
		return
	}
	l.ids[c.hash(d.Sender, d.Name)] = struct{}{}
	c.ids++
	if len(l.ids) > idsOfLane {
		l.complete, l.ids = false, nil
	}
}

// learn makes newest, which was read, the lane's head; nil is that of a new stream.
func (l *lane) learn(newest *entryDoc) {
	l.known, l.failed, l.decider = true, false, nil
	if newest == nil {
		l.seq, l.count, l.control = 0, 0, 0
		l.complete, l.ids = true, map[uint64]struct{}{}
		return
	}
	l.seq, l.count, l.control = newest.Seq, newest.Count, newest.Control
	l.complete, l.ids = false, nil
}

// isNew reports whether the stream surely has no entry of that sender and id.
func (c *lanes) isNew(l *lane, e *parley.Entry) bool {
	if !l.complete {
		return false
	}
	_, there := l.ids[c.hash(e.Sender, e.ID)]
	return !there
}

// idle reports whether there is nothing to do for the lane.
func (l *lane) idle() bool {
	return len(l.jobs) == 0 && l.staged == nil && len(l.unwatched) == 0 && !l.chores.waiting()
}
