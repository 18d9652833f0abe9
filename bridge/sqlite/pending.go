package sqlite

import (
	"slices"
	"sync"

	"github.com/parley-chat/parley"
)

// Bounds of what is durable in the journal and not yet durable in the database.
// Beyond them, Append waits; half of them make the writer fsync.
const (
	maxPending      = 1 << 17 // entries
	maxPendingBytes = 64 << 20
)

// pending holds the entries that are durable in the journal and not yet durable
// in the database. The oldest of them may have been applied: they are in its
// tables, by a commit that a power cut can take back. A reader takes what it needs
// from here first and reads the database after that.
type pending struct {
	mu      sync.RWMutex
	tails   map[parley.Stream]*tail
	batches []batch // in the journal's order
	entries int
	bytes   int
	applied uint64 // number of the newest batch in the tables
	waiting int    // entries of the batches behind it
	bound   int    // maxPending

	added   chan struct{} // holds one: there is something to apply
	removed chan struct{} // holds one: there is more room; for the appender
	moved   chan struct{} // closed, and made anew, whenever applied rises
}

// batch is what became durable with one fsync of the journal.
type batch struct {
	number  uint64
	entries []parley.Entry
	bytes   int
}

// tail is the end of one stream. The entries are never changed, only more come
// behind them, so a slice of them may be read without the lock.
type tail struct {
	entries []*parley.Entry
	control int64 // seq of the stream's newest control entry, pending or not
	deletes []deletion
}

// newest returns the last entry; there is one.
func (t *tail) newest() *parley.Entry { return t.entries[len(t.entries)-1] }

func newPending() *pending {
	return &pending{
		tails: map[parley.Stream]*tail{}, bound: maxPending,
		added: make(chan struct{}, 1), removed: make(chan struct{}, 1), moved: make(chan struct{}),
	}
}

// add takes a batch in. touched are its streams, with what each has staged.
func (p *pending) add(b batch, touched []*known) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range touched {
		t := p.tails[k.stream]
		if t == nil {
			t = &tail{}
			p.tails[k.stream] = t
		}
		t.entries = append(t.entries, k.staged...)
		t.control = k.control
		t.deletes = append(t.deletes, k.deletes...)
	}
	p.batches = append(p.batches, b)
	p.entries += len(b.entries)
	p.waiting += len(b.entries)
	p.bytes += b.bytes
	signal(p.added)
}

// tail returns what stream has pending, if anything.
func (p *pending) tail(stream parley.Stream) (tail, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if t := p.tails[stream]; t != nil {
		return *t, true
	}
	return tail{}, false
}

// first returns the oldest batches that are not applied, about n entries of them.
func (p *pending) first(n int) []batch {
	p.mu.RLock()
	defer p.mu.RUnlock()
	batches := p.batches[p.behind(p.applied):]
	count := 0
	for i := range batches {
		if count += len(batches[i].entries); count >= n {
			return batches[:i+1]
		}
	}
	return batches
}

// behind returns where the batches above number begin. The lock is held.
func (p *pending) behind(number uint64) int {
	n, _ := slices.BinarySearchFunc(p.batches, number, func(b batch, number uint64) int {
		if b.number <= number {
			return -1
		}
		return 1
	})
	return n
}

// setApplied says which batches are in the tables: those up to number. It falls
// when a disk has taken commits back.
func (p *pending) setApplied(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied, p.waiting = number, 0
	for _, b := range p.batches[p.behind(number):] {
		p.waiting += len(b.entries)
	}
	close(p.moved)
	p.moved = make(chan struct{})
}

// remove drops the batches up to number, which are durable in the database.
func (p *pending) remove(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for ; n < len(p.batches) && p.batches[n].number <= number; n++ {
		b := &p.batches[n]
		p.entries -= len(b.entries)
		p.bytes -= b.bytes
		for i := range b.entries {
			p.drop(b.entries[i].Stream)
		}
	}
	p.batches = append([]batch(nil), p.batches[n:]...) // what is gone may be collected
	signal(p.removed)
}

// drop forgets the oldest entry of stream. Readers may still have it in a slice
// of theirs. The lock is held.
func (p *pending) drop(stream parley.Stream) {
	t := p.tails[stream]
	if len(t.deletes) > 0 && t.deletes[0].seq == t.entries[0].Seq {
		t.deletes = t.deletes[1:]
	}
	if t.entries = t.entries[1:]; len(t.entries) == 0 {
		delete(p.tails, stream)
	}
}

// waits reports whether there are batches to apply.
func (p *pending) waits() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.waiting > 0
}

// unsynced reports whether batches are applied that may still be taken back, and
// whether they are many.
func (p *pending) unsynced() (some, many bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	some = len(p.batches) > 0 && p.batches[0].number <= p.applied
	return some, some && (p.entries >= p.bound/2 || p.bytes >= maxPendingBytes/2)
}

// unapplied returns how many entries wait to be applied.
func (p *pending) unapplied() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.waiting
}

// newestApplied returns the number of the newest batch in the tables.
func (p *pending) newestApplied() uint64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.applied
}

func (p *pending) full() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.entries >= p.bound || p.bytes >= maxPendingBytes
}

// size returns how much is pending.
func (p *pending) size() (entries, bytes int) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.entries, p.bytes
}

// newestBatch returns the number of the newest pending batch, 0 if there is none.
func (p *pending) newestBatch() uint64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if n := len(p.batches); n > 0 {
		return p.batches[n-1].number
	}
	return 0
}

// lacks reports whether the tables lack a batch up to number, and returns a
// channel that is closed when more are applied.
func (p *pending) lacks(number uint64) (bool, <-chan struct{}) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.applied < number, p.moved
}

// signal sends on a channel that holds one, unless it is full.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
