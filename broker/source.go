package broker

import (
	"fmt"

	"github.com/parley-chat/parley"
)

// source delivers one stream to one connection, from the log, in seq order. It
// never goes beyond head: what is behind it, the right to read it has not been
// decided for. Guarded by the pump's lock.
type source struct {
	pump   *pump
	kind   parley.TopicKind
	stream parley.Stream
	topic  string

	exact     bool // subscribed by its own topic
	member    bool // subscribed by a membership filter
	exactQoS  byte
	memberQoS byte

	placed bool  // next and acked are known: the device's position has been looked up
	next   int64 // newest seq handed to the connection
	head   int64 // newest seq known to be durable
	acked  int64 // the cursor: everything up to here is acknowledged
	behind int64 // server time from which the device may lack something, 0 if it has all
	out    []seqFlight

	held     bool // not to be delivered before the right to read is checked
	detached bool
	queued   bool
	dirty    bool // acked is not saved yet
}

// seqFlight is one delivery in seq order.
type seqFlight struct {
	seq   int64
	acked bool
}

// qos is the highest of the subscriptions that match. The lock is held.
func (src *source) qos() byte {
	var qos byte
	if src.exact {
		qos = src.exactQoS
	}
	if src.member {
		qos = max(qos, src.memberQoS)
	}
	return qos
}

// admit is idempotent. The lock is held.
func (src *source) admit() {
	src.held = false
	src.advance(src.head)
}

func (src *source) waiting(now bool) bool {
	before := src.queued
	src.queued = now
	return before
}

// advance takes a newer head. The lock is held.
func (src *source) advance(seq int64) {
	src.head = max(src.head, seq)
	if src.held || src.detached || src.next >= src.head {
		return
	}
	if src.behind == 0 {
		src.behind = max(src.pump.session.broker.hub.position.Load(), 1)
	}
	src.pump.enqueue(src)
}

// place makes the device's position the source's.
func (src *source) place(at int64) {
	p := src.pump
	p.mu.Lock()
	defer p.mu.Unlock()
	if at > src.head {
		at = 0 // of a future that this log does not have
	}
	src.placed, src.next, src.acked = true, at, at
	src.caughtUp() // else it stays behind as it was
}

// caughtUp notes that the device has everything, if so. The lock is held.
func (src *source) caughtUp() {
	if src.acked == src.head {
		src.behind = 0
	}
}

// fill reads the log behind what was delivered and appends it as packets.
func (src *source) fill(dst []byte, room int) ([]byte, bool, error) {
	p := src.pump
	b := p.session.broker
	if !src.placed { // set by this goroutine only
		at, err := p.session.position(p.ctx, src.stream)
		if err != nil {
			return dst, false, err
		}
		src.place(at)
	}
	p.mu.Lock()
	next, open := src.next, src.head-src.next
	p.mu.Unlock()
	if open <= 0 {
		return dst, false, nil
	}
	entries, err := b.log.Deliveries(p.ctx, src.stream, next, int(min(open, int64(room))))
	if err != nil {
		return dst, false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if src.detached {
		return dst, false, nil
	}
	if len(entries) == 0 && src.next < src.head {
		return dst, false, fmt.Errorf("log has nothing after %d, head is %d", src.next, src.head)
	}
	for _, e := range entries {
		dst = src.deliver(dst, e.Seq, e.Payload)
		if len(dst) > turnBytes {
			break
		}
	}
	return dst, src.next < src.head, nil
}

// deliver appends one entry. The lock is held.
func (src *source) deliver(dst []byte, seq int64, payload []byte) []byte {
	p := src.pump
	version, qos := p.session.version, src.qos()
	src.next = seq
	src.out = append(src.out, seqFlight{seq: seq})
	if p.tooBig(publishLength(version, qos, src.topic, payload)) {
		p.session.broker.stats.tooBig.Add(1)
		src.acknowledged(seq)
		return dst
	}
	p.session.broker.stats.delivered.Add(1)
	if qos == 0 {
		src.acknowledged(seq)
		return appendPublish(dst, version, 0, false, src.topic, 0, payload)
	}
	id := p.send(flight{source: src, seq: seq})
	return appendPublish(dst, version, 1, false, src.topic, id, payload)
}

// acknowledged moves the cursor over everything that is acknowledged without a
// gap. The lock is held.
func (src *source) acknowledged(seq int64) {
	for i := range src.out {
		if src.out[i].seq == seq {
			src.out[i].acked = true
			break
		}
	}
	n := 0
	for n < len(src.out) && src.out[n].acked {
		src.acked = src.out[n].seq
		n++
	}
	if n == 0 {
		return
	}
	src.out = src.out[n:]
	src.caughtUp()
	src.dirty = true
	src.pump.session.broker.cursors.moved(src.pump.session)
}
