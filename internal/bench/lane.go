//go:build linux

package bench

import (
	"time"

	"github.com/parley-chat/parley/internal/bench/wire"
	"github.com/parley-chat/parley/internal/fault/device"
)

// tally is what the lanes of a load count together, while counting.
type tally struct {
	counting  bool
	epoch     time.Time
	acked     int
	delivered int
	disorder  int      // deliveries that came behind a later one, or twice; always counted
	latencies []uint32 // microseconds from PUBLISH to PUBACK
}

func (t *tally) now() int64 { return int64(time.Since(t.epoch)) }

// lane is one publisher: a message is under way until it is acknowledged and
// every device that must have it has it.
type lane struct {
	loop  *wire.Loop
	conn  *wire.Conn
	draft *draft
	tally *tally

	readers int     // devices that must have a message
	slots   []slot  // the messages that may be under way, by serial number
	next    int     // serial number
	last    int     // serial number behind the last one
	waiting []int64 // when messages that found no room should have been published
}

type slot struct {
	at      int64 // when it was, or should have been, published
	missing int   // deliveries
	acked   bool
	busy    bool
}

func newLane(loop *wire.Loop, conn *wire.Conn, topic string, window, readers int, seed uint64, t *tally) *lane {
	return &lane{
		loop: loop, conn: conn, draft: newDraft(device.MQTT311, topic, payloadBytes, seed), tally: t,
		readers: readers, slots: make([]slot, window),
	}
}

// fill publishes up to serial number last as far as there is room.
func (l *lane) fill() {
	for l.next < l.last && l.publish(l.tally.now()) {
	}
}

// offer publishes one message now, or as soon as there is room: then the time
// that it waits counts.
func (l *lane) offer() {
	if now := l.tally.now(); len(l.waiting) > 0 || !l.publish(now) {
		l.waiting = append(l.waiting, now)
	}
}

func (l *lane) publish(at int64) bool {
	s := &l.slots[l.next%len(l.slots)]
	if s.busy {
		return false
	}
	*s = slot{at: at, missing: l.readers, busy: true}
	l.loop.Send(l.conn, l.draft.packet(uint16(l.next%len(l.slots)+1), l.next))
	l.next++
	return true
}

// idle reports whether nothing is under way.
func (l *lane) idle() bool {
	for i := range l.slots {
		if l.slots[i].busy {
			return false
		}
	}
	return len(l.waiting) == 0
}

// Connected implements wire.Handler.
func (l *lane) Connected() {}

// Delivered implements wire.Handler.
func (l *lane) Delivered([]byte) {}

// Acknowledged implements wire.Handler.
func (l *lane) Acknowledged(id uint16) {
	s := &l.slots[int(id-1)%len(l.slots)]
	if s.acked || !s.busy {
		return
	}
	s.acked = true
	if l.tally.counting {
		l.tally.acked++
		l.tally.latencies = append(l.tally.latencies, uint32((l.tally.now()-s.at)/int64(time.Microsecond)))
	}
	l.complete(s)
}

// received notes that one of the devices has a message.
func (l *lane) received(serial int) {
	s := &l.slots[serial%len(l.slots)]
	s.missing--
	l.complete(s)
}

func (l *lane) complete(s *slot) {
	if !s.acked || s.missing > 0 {
		return
	}
	s.busy = false
	for len(l.waiting) > 0 && l.publish(l.waiting[0]) {
		l.waiting = l.waiting[1:]
	}
	l.fill()
}

// unanswered adds the ages of what has not been acknowledged, so that a server
// that stopped answering is not praised for what it answered before.
func (l *lane) unanswered() {
	now := l.tally.now()
	add := func(at int64) {
		l.tally.latencies = append(l.tally.latencies, uint32((now-at)/int64(time.Microsecond)))
	}
	for _, s := range l.slots {
		if s.busy && !s.acked {
			add(s.at)
		}
	}
	for _, at := range l.waiting {
		add(at)
	}
}

// reader is a device that takes what is delivered.
type reader struct {
	tally *tally
	lane  *lane // whose messages it gets; nil: of several, in whatever order
	next  int   // serial number
	got   int   // deliveries
}

// Connected implements wire.Handler.
func (r *reader) Connected() {}

// Acknowledged implements wire.Handler.
func (r *reader) Acknowledged(uint16) {}

// Delivered implements wire.Handler.
func (r *reader) Delivered(payload []byte) {
	serial, ok := serialOf(payload)
	if !ok {
		return // an entry that the server made
	}
	r.got++
	if r.tally.counting {
		r.tally.delivered++
	}
	if r.lane == nil {
		return
	}
	if serial < r.next {
		r.tally.disorder++
	}
	r.next = max(r.next, serial+1)
	r.lane.received(serial)
}
