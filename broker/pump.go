package broker

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// Sizes of one turn of a pump.
const (
	turnEntries = 32        // of one source, so that sources take turns
	turnBytes   = 128 << 10 // after which a turn is written
	pumpPause   = 100 * time.Millisecond
)

// pump delivers everything that a connection subscribes to: its feeds take
// turns, each in its own order, behind one window of unacknowledged packets and
// one allocator of packet identifiers. Its goroutine runs only while there is
// something to deliver and room to deliver it.
type pump struct {
	session *session
	ctx     context.Context // ends with the connection
	cancel  context.CancelFunc
	window  int
	most    int // bytes of a packet that the client takes, 0 for any

	mu        sync.Mutex
	sources   map[parley.Stream]*source
	barred    map[parley.Stream]byte    // QoS of exact subscriptions that wait for the right to read
	members   map[parley.TopicKind]byte // QoS of membership filters, by the kind of stream they deliver
	states    *states
	standings *standings
	signals   *signals
	ready     []feed              // waiting for their turn, each once
	departed  []parley.CursorSave // of sources that were detached, not saved yet
	inflight  map[uint16]flight
	lastID    uint16
	running   bool
	stopped   bool
	done      sync.WaitGroup
}

// feed is something a pump delivers: a stream, the states, who is online, or
// signals.
type feed interface {
	// fill appends packets for at most room deliveries to dst. more tells that
	// it has something left to deliver at once. It is called by the pump's
	// goroutine only, without the pump's lock.
	fill(dst []byte, room int) (packets []byte, more bool, err error)
	// waiting tells and sets whether the feed is in ready. The pump's lock is
	// held.
	waiting(now bool) (before bool)
}

// flight is a delivery that is not acknowledged yet.
type flight struct {
	source       *source // of a stream, with its seq
	seq          int64
	conversation string // of a state
	user         string // of a standing
}

func newPump(s *session, window int, most uint32) *pump {
	ctx, cancel := context.WithCancel(context.Background())
	p := &pump{
		session: s, ctx: ctx, cancel: cancel, window: window, most: int(most),
		sources: map[parley.Stream]*source{}, barred: map[parley.Stream]byte{}, members: map[parley.TopicKind]byte{},
		inflight: map[uint16]flight{},
		// Replaced by goOnBehind; after a crash nobody knows where the identifiers
		// ended, and somewhere else is the best guess.
		lastID: uint16(rand.IntN(1 << 16)),
	}
	p.states, p.standings, p.signals = newStates(p), newStandings(p), newSignals(p)
	return p
}

// stop ends the pump and waits for its goroutine. The connection must have been
// closed, or the goroutine may still be writing to it.
func (p *pump) stop() {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	p.cancel()
	p.done.Wait()
}

// enqueue gives f a turn. The lock is held.
func (p *pump) enqueue(f feed) {
	if !f.waiting(true) {
		p.ready = append(p.ready, f)
	}
	p.kick()
}

// kick starts the goroutine if there is work and room. The lock is held.
func (p *pump) kick() {
	if p.running || p.stopped || len(p.ready) == 0 || len(p.inflight) >= p.window {
		return
	}
	p.running = true
	p.done.Go(p.run)
}

// turn takes the next feed and the room it may fill.
func (p *pump) turn() (f feed, room int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	room = p.window - len(p.inflight)
	if p.stopped || len(p.ready) == 0 || room <= 0 {
		p.running = false
		return nil, 0
	}
	f = p.ready[0]
	p.ready = p.ready[1:]
	f.waiting(false)
	return f, min(room, turnEntries)
}

// run gives turns until there is no work or no room.
func (p *pump) run() {
	var packets []byte
	for {
		f, room := p.turn()
		if f == nil {
			return
		}
		var more bool
		var err error
		packets, more, err = f.fill(packets[:0], room)
		if len(packets) > 0 {
			crash.At(crash.DeliverRead)
			if _, werr := p.session.conn.Write(packets); werr != nil {
				p.halt()
				return
			}
			crash.At(crash.DeliverWritten)
		}
		if err != nil && p.ctx.Err() == nil {
			p.session.broker.options.Logger.Warn("delivery is behind", "device", p.session.device, "error", err)
			p.rest(pumpPause)
		}
		if more || err != nil {
			p.mu.Lock()
			p.enqueue(f)
			p.mu.Unlock()
		}
		if cap(packets) > turnBytes {
			packets = nil
		}
	}
}

// halt marks the pump as not running after the connection broke.
func (p *pump) halt() {
	p.mu.Lock()
	p.stopped, p.running = true, false
	p.mu.Unlock()
}

func (p *pump) rest(d time.Duration) {
	select {
	case <-p.ctx.Done():
	case <-time.After(d):
	}
}

// send registers a delivery and returns its packet identifier. The lock is
// held. There is always a free one: the window is far smaller than the space.
func (p *pump) send(f flight) uint16 {
	for {
		p.lastID++
		if _, taken := p.inflight[p.lastID]; p.lastID != 0 && !taken {
			p.inflight[p.lastID] = f
			return p.lastID
		}
	}
}

// acknowledged takes a PUBACK from the client. One for an identifier that is
// not in flight is ignored.
func (p *pump) acknowledged(id uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.inflight[id]
	if !ok {
		return
	}
	delete(p.inflight, id)
	p.session.broker.stats.acknowledged.Add(1)
	switch {
	case f.source != nil:
		f.source.acknowledged(f.seq)
	case f.user != "":
		p.standings.acknowledged(f.user)
	default:
		p.states.acknowledged(f.conversation)
	}
	p.kick()
}

// goOnBehind continues with the packet identifiers of an earlier connection, so
// that a late acknowledgement of its deliveries hits no new one.
func (p *pump) goOnBehind(id uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastID = id
}

func (p *pump) newestID() uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lastID
}

// tooBig reports whether the client does not take a packet of that remaining
// length. MQTT 5 lets the server drop it then; the client sees the gap and reads
// it by REST.
func (p *pump) tooBig(length int) bool { return p.most > 0 && packetLength(length) > p.most }

// advanced tells that src's stream is durable up to seq.
func (p *pump) advanced(src *source, seq int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	src.advance(seq)
}

// all returns the sources, and the conversations watched by exact topic.
func (p *pump) all() ([]*source, []parley.Stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sources := make([]*source, 0, len(p.sources))
	for _, src := range p.sources {
		sources = append(sources, src)
	}
	return sources, p.states.watched()
}
