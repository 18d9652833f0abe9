package broker

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// Bounds of the signals that a connection publishes. What is beyond them
// vanishes, as signals may.
const (
	SignalRate  = 5  // in a second, in the long run
	SignalBurst = 10 // at once, and waiting to be passed on
	signalTime  = time.Second
)

// speaker passes the signals of a connection on to those who listen, beside its
// queue of publishes: a store that is slow to write must not make typing late,
// and typing must not make publishes late. A goroutine runs while there are any.
type speaker struct {
	session *session

	mu      sync.Mutex
	queue   []spoken
	spent   float64 // of SignalBurst, as of last
	last    time.Time
	running bool
	stopped bool
	done    sync.WaitGroup
}

// spoken is a signal that has come in.
type spoken struct {
	topic  parley.Topic
	signal parley.Signal
}

// take takes a publish if it is a signal as it should be. One above the bounds is
// taken too, and dropped. It is called by the read loop.
func (sp *speaker) take(pk *packets.Packet) bool {
	if pk.FixedHeader.Qos > 0 || pk.FixedHeader.Retain || !strings.HasSuffix(pk.TopicName, "/"+string(parley.TopicSignals)) {
		return false
	}
	who := sp.session.who
	t, err := parley.ParseTopic(pk.TopicName)
	if err != nil || t.Kind != parley.TopicSignals || who.May(parley.ActionPublish, t) != nil {
		return false
	}
	now := time.Now()
	if !sp.affords(now) {
		sp.session.broker.stats.signalsDropped.Add(1)
		return true
	}
	body, err := parley.DecodeSignal(pk.Payload)
	if err != nil {
		return false
	}
	sp.put(spoken{topic: t, signal: parley.Signal{
		Sender: who.User, Device: who.Device, Role: who.Role, At: now.UnixMilli(), Body: body,
	}})
	return true
}

// refusalOfSignal says why take has not taken a signal. One at QoS 1 is refused:
// its PUBACK would say that it is durable, which no signal ever is.
func refusalOfSignal(pk *packets.Packet) error {
	switch {
	case pk.FixedHeader.Qos > 0:
		return parley.Errorf(parley.CodeInvalid, "signals are published at QoS 0")
	case pk.FixedHeader.Retain:
		return parley.Errorf(parley.CodeInvalid, "signals are not published as retained")
	}
	_, err := parley.DecodeSignal(pk.Payload)
	return err
}

// affords counts a signal, unless there were too many.
func (sp *speaker) affords(now time.Time) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.spent = max(0, sp.spent-now.Sub(sp.last).Seconds()*SignalRate)
	sp.last = now
	if sp.spent+1 > SignalBurst {
		return false
	}
	sp.spent++
	return true
}

func (sp *speaker) put(s spoken) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.stopped || len(sp.queue) >= SignalBurst {
		return
	}
	sp.queue = append(sp.queue, s)
	if !sp.running {
		sp.running = true
		sp.done.Go(sp.run)
	}
}

// stop ends the goroutine. The pump's context has ended.
func (sp *speaker) stop() {
	sp.mu.Lock()
	sp.stopped, sp.queue = true, nil
	sp.mu.Unlock()
	sp.done.Wait()
}

func (sp *speaker) run() {
	for {
		sp.mu.Lock()
		if len(sp.queue) == 0 {
			sp.running = false
			sp.mu.Unlock()
			return
		}
		next := sp.queue[0]
		sp.queue = sp.queue[1:]
		sp.mu.Unlock()
		sp.pass(next)
	}
}

// pass tells a signal to the other devices that listen, if its sender may write
// in the conversation now and their users may read it now.
func (sp *speaker) pass(said spoken) {
	s := sp.session
	ctx, cancel := context.WithTimeout(s.pump.ctx, signalTime)
	defer cancel()
	defer s.broker.stats.signals.Add(1)
	c, err := s.broker.log.Conversation(ctx, s.who, said.topic.Conversation)
	if err != nil || s.who.MayIn(parley.ActionSend, c) != nil {
		return
	}
	payload, err := json.Marshal(said.signal)
	if err != nil {
		return // the body is valid JSON
	}
	for _, listener := range s.broker.hub.hearing(c) {
		if listener.device != s.device && listener.who.MayIn(parley.ActionRead, c) == nil {
			listener.pump.signals.hear(c, said.topic.String(), payload)
		}
	}
}
