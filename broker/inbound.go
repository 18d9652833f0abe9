package broker

import (
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley/internal/crash"
)

// backPressure is how long a client may wait for room.
const backPressure = 500 * time.Millisecond

// inbound is the queue of what a connection publishes and asks for. A recorder
// runs while it holds any: it takes what has come in, records it in order, and
// answers in order. What arrives meanwhile is the next batch, so that one
// connection pipelines into few commits. The read loop never waits for the store.
type inbound struct {
	session  *session
	most     int      // drafts that are recorded together, 0 for all that have come in; of the recorder
	verdicts verdicts // of the recorder

	mu      sync.Mutex
	queue   []*packets.Packet
	held    int // publishes queued or being recorded, not acknowledged yet
	asked   int // SUBSCRIBEs and UNSUBSCRIBEs queued or being decided
	running bool
	stopped bool
	room    chan struct{} // signalled when held or asked falls
	done    sync.WaitGroup
}

// maxAsked bounds the SUBSCRIBEs and UNSUBSCRIBEs of a connection that wait for
// their answer.
const maxAsked = 16

// publish queues a packet from the read loop, unless it is a signal. A client that exceeds the
// announced maximum is disconnected; a 3.1.1 client, who could not know it,
// waits a moment first.
func (s *session) publish(pk *packets.Packet) {
	if s.speaker.take(pk) || s.inbound.offer(pk) {
		return
	}
	if s.version == 5 {
		s.disconnect(tooManyInFlight)
		return
	}
	s.wait(pk)
}

// ask queues a SUBSCRIBE or UNSUBSCRIBE from the read loop. It is decided behind
// the publishes that came before it.
func (s *session) ask(pk *packets.Packet) {
	if !s.inbound.offer(pk) {
		s.wait(pk)
	}
}

// wait holds the read loop until there is room for pk, or ends the connection.
func (s *session) wait(pk *packets.Packet) {
	timeout := time.NewTimer(backPressure)
	defer timeout.Stop()
	for {
		select {
		case <-s.inbound.room:
			if s.inbound.offer(pk) {
				return
			}
		case <-timeout.C:
			s.disconnect(tooFast)
			return
		case <-s.pump.ctx.Done():
			return
		}
	}
}

// offer queues a packet if there is room.
func (in *inbound) offer(pk *packets.Packet) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.stopped {
		return true // nobody will be answered any more
	}
	if pk.FixedHeader.Type == packets.Publish {
		if in.held >= ReceiveMaximum {
			return false
		}
		in.held++
	} else {
		if in.asked >= maxAsked {
			return false
		}
		in.asked++
	}
	in.queue = append(in.queue, pk)
	if !in.running {
		in.running = true
		in.done.Go(in.run)
	}
	return true
}

func (in *inbound) stop() {
	in.mu.Lock()
	in.stopped = true
	in.queue = nil
	in.mu.Unlock()
	in.done.Wait()
}

// run records until the queue is empty.
func (in *inbound) run() {
	for {
		in.mu.Lock()
		batch := in.queue
		in.queue = nil
		if len(batch) == 0 || in.stopped {
			in.running = false
			in.mu.Unlock()
			return
		}
		in.mu.Unlock()
		crash.At(crash.BatchTaken)
		if !in.handle(batch) {
			in.mu.Lock()
			in.stopped, in.running = true, false
			in.mu.Unlock()
			in.session.disconnect(storeDown)
			return
		}
	}
}

// release makes room after n acknowledgements.
func (in *inbound) release(n int) {
	in.mu.Lock()
	in.held -= n
	in.mu.Unlock()
	in.signal()
}

// answered makes room for another SUBSCRIBE or UNSUBSCRIBE.
func (in *inbound) answered() {
	in.mu.Lock()
	in.asked--
	in.mu.Unlock()
	in.signal()
}

func (in *inbound) signal() {
	select {
	case in.room <- struct{}{}:
	default:
	}
}

// handle takes what has come in, in order: runs of publishes together, the
// others one by one. false means that the connection has to end.
func (in *inbound) handle(batch []*packets.Packet) bool {
	for len(batch) > 0 {
		n := 0
		for n < len(batch) && batch[n].FixedHeader.Type == packets.Publish {
			n++
		}
		if !in.record(batch[:n]) {
			return false
		}
		batch = batch[n:]
		if len(batch) == 0 {
			break
		}
		if batch[0].FixedHeader.Type == packets.Subscribe {
			in.session.subscribe(batch[0])
		} else {
			in.session.unsubscribeAll(batch[0])
		}
		in.answered()
		batch = batch[1:]
	}
	return true
}
