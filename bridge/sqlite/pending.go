package sqlite

import (
	"sync"

	"github.com/parley-chat/parley"
)

// Bounds of what is durable in the journal and not yet in the database. Beyond
// them, Append waits.
const (
	maxPending      = 1 << 17 // entries
	maxPendingBytes = 64 << 20
)

// pending holds the entries that are durable in the journal and not yet in the
// database. A reader takes what it needs from here first and reads the database
// after that: entries leave only when the database has them.
type pending struct {
	mu      sync.RWMutex
	tails   map[parley.Stream]*tail
	batches []batch // in the journal's order
	entries int
	bytes   int

	added   chan struct{} // holds one: there is something to apply
	removed chan struct{} // holds one: there is more room; for the appender
	applied chan struct{} // closed, and made anew, whenever batches leave
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
}

// newest returns the last entry; there is one.
func (t *tail) newest() *parley.Entry { return t.entries[len(t.entries)-1] }

func newPending() *pending {
	return &pending{
		tails: map[parley.Stream]*tail{},
		added: make(chan struct{}, 1), removed: make(chan struct{}, 1), applied: make(chan struct{}),
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
	}
	p.batches = append(p.batches, b)
	p.entries += len(b.entries)
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

// first returns the oldest batches, about n entries of them.
func (p *pending) first(n int) []batch {
	p.mu.RLock()
	defer p.mu.RUnlock()
	count := 0
	for i := range p.batches {
		if count += len(p.batches[i].entries); count >= n {
			return p.batches[:i+1]
		}
	}
	return p.batches
}

// remove drops the batches up to number, which the database holds.
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
	close(p.applied)
	p.applied = make(chan struct{})
}

// drop forgets the oldest entry of stream. Readers may still have it in a slice
// of theirs. The lock is held.
func (p *pending) drop(stream parley.Stream) {
	t := p.tails[stream]
	if t.entries = t.entries[1:]; len(t.entries) == 0 {
		delete(p.tails, stream)
	}
}

// waits reports whether there are batches to apply.
func (p *pending) waits() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.batches) > 0
}

func (p *pending) full() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.entries >= maxPending || p.bytes >= maxPendingBytes
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

// holds reports whether a batch up to number is pending, and returns a channel
// that is closed when batches leave.
func (p *pending) holds(number uint64) (bool, <-chan struct{}) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.batches) > 0 && p.batches[0].number <= number, p.applied
}

// signal sends on a channel that holds one, unless it is full.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
