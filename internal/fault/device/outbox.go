package device

import (
	"sync"

	"github.com/parley-chat/parley"
)

// outbox keeps what a device has to say, in order, until it is settled:
// acknowledged or refused for good. What is unsettled when a connection ends is
// sent again on the next one, from the oldest on.
type outbox struct {
	changed chan struct{} // holds one token when something may have become possible

	mu    sync.Mutex
	queue []parley.Draft // not settled, oldest first
	sent  int            // so many of them, from the front, are on this connection's wire
	first int            // so many of them, from the front, have been on some wire
}

func newOutbox() *outbox { return &outbox{changed: make(chan struct{}, 1)} }

func (o *outbox) add(d parley.Draft) {
	o.mu.Lock()
	o.queue = append(o.queue, d)
	o.mu.Unlock()
	o.signal()
}

// restore adds a draft that has been on the wire of an earlier process. Only
// before the first add.
func (o *outbox) restore(d parley.Draft) {
	o.mu.Lock()
	o.queue = append(o.queue, d)
	o.first++
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// rewind begins a new connection.
func (o *outbox) rewind() {
	o.mu.Lock()
	o.sent = 0
	o.mu.Unlock()
	o.signal()
}

// take returns the next draft to be sent if less than window are under way.
// again tells that an earlier connection has sent it.
func (o *outbox) take(window int) (d parley.Draft, again, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sent >= window || o.sent == len(o.queue) {
		return parley.Draft{}, false, false
	}
	d = o.queue[o.sent]
	again = o.sent < o.first
	o.sent++
	o.first = max(o.first, o.sent)
	return d, again, true
}

// settle removes a draft that was taken. It reports false for one that is
// settled already.
func (o *outbox) settle(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, d := range o.queue[:o.sent] {
		if d.ID == id {
			copy(o.queue[1:i+1], o.queue[:i]) // the oldest is the common case: nothing moves
			o.queue = o.queue[1:]
			o.sent--
			o.first--
			o.signal()
			return true
		}
	}
	return false
}

func (o *outbox) pending() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue)
}
