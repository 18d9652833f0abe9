package sqlite

import (
	"hash/maphash"
	"time"

	"github.com/parley-chat/parley"
)

// Bounds of what the appender remembers about streams. About 32 bytes for each
// id and 300 for each stream: 2 × 16 MiB and 2 × 10 MiB.
const (
	streamsKept   = 1 << 15 // of a generation
	idsKept       = 1 << 19 // of a generation
	idsLoaded     = 4096    // a longer stream's ids are not read from the database
	idsOfStream   = 4096    // a stream with many more has a filter in place of those that are not pending
	touchesToLoad = 4       // appends to a stream before its ids are worth reading
	generation    = 5 * time.Minute
)

// known is what the appender remembers about a stream: where it ends, and which
// ids are in it.
type known struct {
	stream  parley.Stream
	seq     int64
	control int64
	count   int64

	ids      map[uint64]int64 // seq by hash of sender and id
	complete bool             // ids holds all ids of the stream; otherwise at least those that are pending
	filter   *filter          // of all ids, nil if there is none
	touches  int

	staged  []*parley.Entry // given a seq by the running batch
	deletes []deletion      // those among them
}

// at returns the staged or pending entry with that seq, if it is one.
func (k *known) at(t tail, seq int64) *parley.Entry {
	for _, entries := range [2][]*parley.Entry{k.staged, t.entries} {
		if len(entries) > 0 && seq >= entries[0].Seq && seq-entries[0].Seq < int64(len(entries)) {
			return entries[seq-entries[0].Seq]
		}
	}
	return nil
}

// knownStreams remembers the streams that were written last. It has two
// generations: when the young one is full, or has had its time, it becomes the old
// one, and what was in the old one and not used since is forgotten.
type knownStreams struct {
	young, old map[parley.Stream]*known
	ids        int // in the young generation, about
	since      time.Time
	seed       maphash.Seed
}

func newKnownStreams() *knownStreams {
	return &knownStreams{young: map[parley.Stream]*known{}, since: time.Now(), seed: maphash.MakeSeed()}
}

func (c *knownStreams) get(s parley.Stream) *known {
	if k, ok := c.young[s]; ok {
		return k
	}
	k, ok := c.old[s]
	if ok {
		c.put(k)
	}
	return k
}

func (c *knownStreams) put(k *known) {
	c.young[k.stream] = k
	c.ids += len(k.ids)
}

func (c *knownStreams) forget(s parley.Stream) {
	delete(c.young, s)
	delete(c.old, s)
}

// trim starts a new generation where one is due. No batch may be
// running: what it has staged is remembered here only.
func (c *knownStreams) trim() {
	if len(c.young) >= streamsKept || c.ids >= idsKept || time.Since(c.since) > generation {
		c.old, c.young, c.ids, c.since = c.young, map[parley.Stream]*known{}, 0, time.Now()
	}
}

func (c *knownStreams) hash(e *parley.Entry) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	_, _ = h.WriteString(e.Sender) // never fails
	_ = h.WriteByte(0)
	_, _ = h.WriteString(e.ID)
	return h.Sum64()
}

// stage gives e, which has the hash, the place behind k.
func (c *knownStreams) stage(k *known, e *parley.Entry, hash uint64) {
	k.seq, k.count = e.Seq, e.Count
	if e.Type.Control() {
		k.control = e.Seq
	}
	k.ids[hash] = e.Seq
	if k.filter != nil {
		k.filter.add(hash)
	}
	c.ids++
	k.staged = append(k.staged, e)
}

// lacks reports whether the stream has no entry whose sender and id have that hash. It
// may be false all the same when that is so.
func (k *known) lacks(hash uint64) bool {
	if _, remembered := k.ids[hash]; remembered {
		return false
	}
	return k.complete || k.filter != nil && k.filter.lacks(hash)
}

// shrink forgets the ids of a stream that has too many, except the pending ones. If it
// had all of them, a filter remembers which it cannot be.
func (k *known) shrink(t tail, hash func(*parley.Entry) uint64) {
	if len(k.ids) <= idsOfStream+2*len(t.entries) {
		return
	}
	if k.complete {
		k.complete, k.filter = false, newFilter(k.ids)
	}
	k.ids = make(map[uint64]int64, len(t.entries))
	for _, e := range t.entries {
		k.ids[hash(e)] = e.Seq
	}
}
