package mongo

import (
	"sync"

	"github.com/parley-chat/parley"
)

const recentBytes = 8 << 20 // of a generation

// recent holds the newest durable entries, so that repeats, which come soon after
// the first, need not be looked up. It has two generations as lanes has.
type recent struct {
	mu         sync.Mutex
	young, old map[parley.Stream]map[identity]*parley.Entry
	bytes      int
	forgotten  int64 // how often something was
}

type identity struct{ sender, id string }

func newRecent() *recent {
	return &recent{young: map[parley.Stream]map[identity]*parley.Entry{}}
}

func (r *recent) get(e *parley.Entry) *parley.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := identity{e.Sender, e.ID}
	if found := r.young[e.Stream][key]; found != nil {
		return found
	}
	return r.old[e.Stream][key]
}

func (r *recent) add(e parley.Entry) {
	if e.Type == parley.EntryEdit {
		return // a cut of an older message may take its body meanwhile
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(e)
}

// state returns what fill wants to know of the time before its entries were read.
func (r *recent) state() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.forgotten
}

// fill adds entries that were read, unless something has been forgotten since: they
// may be as they were before.
func (r *recent) fill(state int64, entries []parley.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forgotten != state {
		return
	}
	for _, e := range entries {
		if e.Type != parley.EntryEdit {
			r.put(e)
		}
	}
}

func (r *recent) put(e parley.Entry) {
	if r.bytes > recentBytes {
		r.old, r.young, r.bytes = r.young, map[parley.Stream]map[identity]*parley.Entry{}, 0
	}
	entries := r.young[e.Stream]
	if entries == nil {
		entries = map[identity]*parley.Entry{}
		r.young[e.Stream] = entries
	}
	entries[identity{e.Sender, e.ID}] = &e
	r.bytes += 512 + len(e.Body) + len(e.Digest)
}

// forget drops the entries of a stream, where a delete or a cut has changed some.
func (r *recent) forget(s parley.Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgotten++
	delete(r.young, s)
	delete(r.old, s)
}
