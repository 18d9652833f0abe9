package bridge

import (
	"sync"
	"sync/atomic"

	"github.com/parley-chat/parley"
)

// Bounds of the tail cache.
const (
	tailEntries  = 128      // of one stream
	tailBytes    = 64 << 20 // of all together, payloads and a flat rate per entry
	tailOverhead = 64       // that rate
)

// tails keeps the newest entries of streams that are read in their wire form, so
// that live delivery neither reads the store nor encodes anything again. A stream
// that nobody has read, or that went on for long without a reader, has none.
type tails struct {
	epoch string

	mu    sync.RWMutex
	live  map[parley.Stream]*tail
	bytes int
}

// tail holds a gapless run of entries that ends at the stream's head.
type tail struct {
	entries []parley.Delivery
	unread  atomic.Int64 // entries added since the last read
	used    atomic.Bool  // since the last fade
}

func newTails(epoch string) *tails {
	return &tails{epoch: epoch, live: map[parley.Stream]*tail{}}
}

// add appends entries of one stream, in order.
func (t *tails) add(run []parley.Entry) {
	if !t.wanted(run[0].Stream, int64(len(run))) {
		return
	}
	added := make([]parley.Delivery, len(run))
	for i := range run {
		added[i] = run[i].Delivery(t.epoch)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	stream := run[0].Stream
	l, ok := t.live[stream]
	if !ok {
		return // evicted meanwhile
	}
	for i, e := range added {
		// What is deleted must not be delivered any more: before a delete, the
		// store answers.
		if last := l.head(); last > 0 && e.Seq != last+1 || run[i].Type == parley.EntryDelete {
			t.bytes -= l.clear()
		}
		l.entries = append(l.entries, e)
		t.bytes += size(e)
	}
	t.bytes -= l.trim()
	if t.bytes > tailBytes {
		t.evict(stream)
	}
}

// wanted reports whether stream has a tail that is read, and drops one that is
// not.
func (t *tails) wanted(stream parley.Stream, more int64) bool {
	t.mu.RLock()
	l, ok := t.live[stream]
	t.mu.RUnlock()
	if ok {
		l.used.Store(true)
	}
	if !ok || l.unread.Add(more) <= tailEntries {
		return ok
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(stream, l)
	return false
}

// drop forgets a tail. The lock is held.
func (t *tails) drop(stream parley.Stream, l *tail) {
	t.bytes -= l.clear() + tailOverhead
	delete(t.live, stream)
}

// want gives stream a tail, which begins with what comes next.
func (t *tails) want(stream parley.Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.live[stream]; !ok {
		l := &tail{}
		l.used.Store(true)
		t.live[stream] = l
		t.bytes += tailOverhead
	}
}

// fade forgets the tails that have not been used since the fade before.
func (t *tails) fade() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for stream, l := range t.live {
		if !l.used.Swap(false) {
			t.drop(stream, l)
		}
	}
}

// forget forgets what it has of stream.
func (t *tails) forget(stream parley.Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l, ok := t.live[stream]; ok {
		t.bytes -= l.clear()
	}
}

// evict forgets streams in arbitrary order, keep excepted, until half of the
// room is free.
func (t *tails) evict(keep parley.Stream) {
	for stream, l := range t.live {
		if t.bytes <= tailBytes/2 {
			return
		}
		if stream != keep {
			t.drop(stream, l)
		}
	}
}

// read answers from memory; ok is false where it cannot.
func (t *tails) read(stream parley.Stream, after int64, limit int) (entries []parley.Delivery, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	l, found := t.live[stream]
	if !found {
		return nil, false
	}
	l.unread.Store(0)
	l.used.Store(true)
	if len(l.entries) == 0 {
		return nil, false
	}
	skip := after + 1 - l.entries[0].Seq
	if skip < 0 {
		return nil, false
	}
	if skip >= int64(len(l.entries)) {
		return nil, true
	}
	rest := l.entries[skip:]
	return rest[:min(limit, len(rest)):min(limit, len(rest))], true
}

func (t *tails) head(stream parley.Stream) (int64, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	l, ok := t.live[stream]
	if !ok || len(l.entries) == 0 {
		return 0, false
	}
	return l.head(), true
}

func (l *tail) head() int64 {
	if len(l.entries) == 0 {
		return 0
	}
	return l.entries[len(l.entries)-1].Seq
}

// clear empties the tail and returns the bytes set free.
func (l *tail) clear() int {
	freed := 0
	for _, e := range l.entries {
		freed += size(e)
	}
	l.entries = nil
	return freed
}

// trim drops the oldest entries above the bound, half a tail at a time so that
// the copy is rare, and returns the bytes set free.
func (l *tail) trim() int {
	if len(l.entries) <= tailEntries {
		return 0
	}
	drop := len(l.entries) - tailEntries/2
	freed := 0
	for _, e := range l.entries[:drop] {
		freed += size(e)
	}
	l.entries = append([]parley.Delivery(nil), l.entries[drop:]...)
	return freed
}

func size(e parley.Delivery) int { return len(e.Payload) + tailOverhead }
