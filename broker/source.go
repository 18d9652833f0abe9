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
	stream parley.Stream
	topic  string
	qos    byte

	exact  bool // subscribed by its own topic
	member bool // subscribed by a membership filter

	next  int64 // newest seq handed to the connection
	head  int64 // newest seq known to be durable
	acked int64 // the cursor: everything up to here is acknowledged
	out   []seqFlight

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

// attach returns the source of stream, made if need be to start behind after.
// A new one is held until release.
func (p *pump) attach(stream parley.Stream, qos byte, after int64, member bool) (src *source, isNew bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	src, ok := p.sources[stream]
	if !ok {
		src = &source{pump: p, stream: stream, topic: stream.Topic(), next: after, head: after, acked: after, held: true}
		p.sources[stream] = src
	}
	src.qos = qos
	if member {
		src.member = true
	} else {
		src.exact = true
	}
	return src, !ok
}

// admit lets a checked source deliver what it is woken for. head is the position
// for which the right to read was checked.
func (p *pump) admit(src *source, head int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	src.admit(head)
}

// release lets a checked source deliver up to head.
func (p *pump) release(src *source, head int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	src.admit(head)
	src.advance(head)
}

// admit is idempotent. The lock is held.
func (src *source) admit(head int64) {
	if src.held && src.next > head { // the cursor is of a future that this log does not have
		src.next, src.head, src.acked = 0, 0, 0
	}
	src.held = false
	src.advance(src.head)
}

// dismiss detaches a source that is still held: the check said no.
func (p *pump) dismiss(src *source) (dismissed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !src.held || src.detached {
		return false
	}
	src.detached = true
	delete(p.sources, src.stream)
	return true
}

// gone reports whether src has been detached.
func (p *pump) gone(src *source) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return src.detached
}

// detach stops a source at once, or takes one of its two reasons away.
func (p *pump) detach(stream parley.Stream, exact, member bool) (gone *source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	src, ok := p.sources[stream]
	if !ok {
		return nil
	}
	src.exact = src.exact && !exact
	src.member = src.member && !member
	if src.exact || src.member {
		return nil
	}
	src.detached = true
	delete(p.sources, stream)
	return src
}

func (src *source) waiting(now bool) bool {
	before := src.queued
	src.queued = now
	return before
}

// advance takes a newer head. The lock is held.
func (src *source) advance(seq int64) {
	src.head = max(src.head, seq)
	if !src.held && !src.detached && src.next < src.head {
		src.pump.enqueue(src)
	}
}

// fill reads the log behind what was delivered and appends it as packets.
func (src *source) fill(dst []byte, room int) ([]byte, bool, error) {
	p := src.pump
	b := p.session.broker
	p.mu.Lock()
	next, open := src.next, src.head-src.next
	p.mu.Unlock()
	if open <= 0 {
		return dst, false, nil
	}
	entries, err := b.log.Entries(p.ctx, src.stream, next, int(min(open, int64(room))))
	if err != nil {
		return dst, false, err
	}
	epoch := b.log.Epoch()
	var payload []byte
	p.mu.Lock()
	defer p.mu.Unlock()
	if src.detached {
		return dst, false, nil
	}
	if len(entries) == 0 && src.next < src.head {
		return dst, false, fmt.Errorf("log has nothing after %d, head is %d", src.next, src.head)
	}
	for _, e := range entries {
		payload = e.AppendJSON(payload[:0], epoch)
		dst = src.deliver(dst, e.Seq, payload)
		if len(dst) > turnBytes {
			break
		}
	}
	return dst, src.next < src.head, nil
}

// deliver appends one entry. The lock is held.
func (src *source) deliver(dst []byte, seq int64, payload []byte) []byte {
	p := src.pump
	version := p.session.version
	src.next = seq
	src.out = append(src.out, seqFlight{seq: seq})
	if p.tooBig(publishLength(version, src.qos, src.topic, payload)) {
		p.session.broker.stats.tooBig.Add(1)
		src.acknowledged(seq)
		return dst
	}
	p.session.broker.stats.delivered.Add(1)
	if src.qos == 0 {
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
	src.dirty = true
	src.pump.session.broker.cursors.moved(src.pump.session)
}
