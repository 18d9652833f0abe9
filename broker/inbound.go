package broker

import (
	"context"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// Timing of inbound publishes.
const (
	backPressure  = 500 * time.Millisecond // how long a 3.1.1 client may wait for room
	attemptTime   = 5 * time.Second        // one try of the store
	retryPauseMin = 20 * time.Millisecond
	retryPauseMax = 500 * time.Millisecond
)

// inbound is the queue of a connection's publishes. A recorder runs while it
// holds any: it takes what has come in, records it in order, and acknowledges
// in order. What arrives meanwhile is the next batch, so that one connection
// pipelines into few commits.
type inbound struct {
	session *session

	mu      sync.Mutex
	queue   []packets.Packet
	held    int // queued or being recorded, not acknowledged yet
	running bool
	stopped bool
	room    chan struct{} // signalled when held falls
	done    sync.WaitGroup
}

// publish queues a packet from the read loop. A client that exceeds the
// announced maximum is disconnected; a 3.1.1 client, who could not know it,
// waits a moment first.
func (s *session) publish(pk packets.Packet) {
	if s.inbound.offer(pk) {
		return
	}
	if s.version == 5 {
		s.disconnect(tooManyInFlight)
		return
	}
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
func (in *inbound) offer(pk packets.Packet) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.stopped {
		return true // nobody will be answered any more
	}
	if in.held >= ReceiveMaximum {
		return false
	}
	in.held++
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
		if !in.record(batch) {
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
	select {
	case in.room <- struct{}{}:
	default:
	}
}

// record takes a batch in order: runs of drafts of one conversation together,
// refusals one by one. false means that the store could not write in time; what
// was not acknowledged will be sent again by the client.
func (in *inbound) record(batch []packets.Packet) bool {
	reads := make([]read, len(batch))
	for i := range batch {
		reads[i] = in.session.read(batch[i])
	}
	for len(batch) > 0 {
		first := reads[0]
		if first.refusal != nil {
			if !in.refuse(batch[0], first.refusal) {
				return false
			}
			batch, reads = batch[1:], reads[1:]
			continue
		}
		var run []parley.Draft
		for _, next := range reads {
			if next.refusal != nil || next.conversation != first.conversation {
				break
			}
			run = append(run, next.draft)
		}
		if !in.recordRun(batch[:len(run)], first.conversation, run) {
			return false
		}
		batch, reads = batch[len(run):], reads[len(run):]
	}
	return true
}

// recordRun stores drafts of one conversation and acknowledges them.
func (in *inbound) recordRun(batch []packets.Packet, conversation string, drafts []parley.Draft) bool {
	s := in.session
	var answers []parley.Appended
	ok := in.insist(func(ctx context.Context) error {
		var err error
		answers, err = s.broker.log.Record(ctx, s.who, conversation, drafts)
		return err
	})
	if !ok {
		return false
	}
	var acks []byte
	epoch := s.broker.log.Epoch()
	acked := 0
	for i, a := range answers {
		if a.Err == nil {
			acks = s.acker.positive(acks, batch[i].PacketID, a, epoch)
			acked++
			continue
		}
		in.acknowledge(acks, acked)
		acks, acked = nil, 0
		if !in.refuse(batch[i], parley.ErrorOf(a.Err).About(drafts[i].ID)) {
			return false
		}
	}
	in.acknowledge(acks, acked)
	return true
}

// refuse makes a refusal durable and then acknowledges the publish.
func (in *inbound) refuse(pk packets.Packet, refusal *parley.Error) bool {
	s := in.session
	s.broker.stats.refusedPublishes.Add(1)
	key := parley.NewID("")
	ok := in.insist(func(ctx context.Context) error {
		return s.broker.log.Refuse(ctx, s.who, key, pk.TopicName, refusal)
	})
	if !ok {
		return false
	}
	if pk.FixedHeader.Qos == 0 {
		in.release(1)
		return true
	}
	in.acknowledge(s.acker.refusal(nil, pk.PacketID, refusal), 1)
	return true
}

func (in *inbound) acknowledge(acks []byte, n int) {
	if n == 0 {
		return
	}
	in.release(n) // before the write: the answer may be faster than we are
	in.session.broker.stats.published.Add(int64(n))
	_, _ = in.session.conn.Write(acks) // a failed write has closed the connection
}

// insist tries until it succeeds, or gives up after the broker's RecordTimeout
// or with the connection.
func (in *inbound) insist(try func(context.Context) error) bool {
	s := in.session
	deadline := time.Now().Add(s.broker.options.RecordTimeout)
	for pause := retryPauseMin; ; pause = min(2*pause, retryPauseMax) {
		ctx, cancel := context.WithDeadline(s.pump.ctx, sooner(deadline, time.Now().Add(attemptTime)))
		err := try(ctx)
		cancel()
		if err == nil {
			return true
		}
		s.broker.stats.recordRetries.Add(1)
		if s.pump.ctx.Err() != nil || time.Now().Add(pause).After(deadline) {
			s.broker.options.Logger.Warn("publish not recorded", "device", s.device, "error", err)
			return false
		}
		select {
		case <-s.pump.ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

func sooner(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// read is a publish as far as its topic and payload tell.
type read struct {
	conversation string
	draft        parley.Draft
	refusal      *parley.Error
}

func (s *session) read(pk packets.Packet) read {
	t, err := parley.ParseTopic(pk.TopicName)
	if err == nil {
		err = s.who.May(parley.ActionPublish, t)
	}
	if err == nil && t.Kind != parley.TopicSend {
		err = parley.Errorf(parley.CodeInvalid, "nothing can be published here yet")
	}
	var draft parley.Draft
	var broken error
	if draft, broken = parley.DecodeDraft(pk.Payload); err == nil {
		err = broken
	}
	if err == nil && pk.FixedHeader.Qos == 0 {
		err = parley.Errorf(parley.CodeInvalid, "messages are published at QoS 1")
	}
	if err == nil && pk.FixedHeader.Retain {
		err = parley.Errorf(parley.CodeInvalid, "messages are not published as retained")
	}
	if err == nil {
		return read{conversation: t.Conversation, draft: draft}
	}
	id := draft.ID
	if broken != nil {
		id = parley.ErrorOf(broken).ID
	}
	return read{refusal: parley.ErrorOf(err).About(id)}
}
