package broker

import (
	"maps"
	"slices"
	"time"

	"github.com/parley-chat/parley"
)

// Bounds of the signals that wait to be told to a client. What does not fit, or
// waits for longer, has vanished.
const (
	mostHeard = 32
	heardLife = time.Second
)

// signals delivers what others do right now, at QoS 0 and once or never: a client
// that is slow to read misses it. Guarded by the pump's lock.
type signals struct {
	pump  *pump
	all   bool                // a c/+/signals filter
	exact map[string]struct{} // conversations subscribed by their own topic

	heard  []heard
	queued bool
}

// heard is a signal on its way to the client.
type heard struct {
	conversation string
	topic        string
	payload      []byte // shared by all who hear it
	until        time.Time
}

func newSignals(p *pump) *signals { return &signals{pump: p, exact: map[string]struct{}{}} }

// attachSignals lets the client hear signals from now on. Whether its user may
// read the conversation is asked for each of them.
func (s *session) attachSignals(t parley.Topic) {
	s.pump.signals.listen(t.Conversation)
	if !t.Wildcard() {
		s.broker.hub.listen(parley.MessagesOf(t.Site, t.Conversation), s)
	}
}

func (s *session) detachSignals(t parley.Topic) {
	s.pump.signals.unlisten(t.Conversation)
	if !t.Wildcard() {
		s.broker.hub.unlisten(parley.MessagesOf(t.Site, t.Conversation), s)
	}
}

func (sg *signals) listen(conversation string) {
	sg.pump.mu.Lock()
	defer sg.pump.mu.Unlock()
	if conversation == parley.Any {
		sg.all = true
		return
	}
	sg.exact[conversation] = struct{}{}
}

func (sg *signals) unlisten(conversation string) {
	sg.pump.mu.Lock()
	defer sg.pump.mu.Unlock()
	if conversation == parley.Any {
		sg.all = false
		return
	}
	delete(sg.exact, conversation)
}

// hear takes a signal in c, which the user may read, if a filter matches and
// there is room.
func (sg *signals) hear(c parley.Conversation, topic string, payload []byte) {
	p := sg.pump
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, exact := sg.exact[c.ID]; !exact && !(sg.all && p.session.who.TakesPart(c)) {
		return
	}
	if len(sg.heard) >= mostHeard {
		p.session.broker.stats.signalsDropped.Add(1)
		return
	}
	sg.heard = append(sg.heard, heard{conversation: c.ID, topic: topic, payload: payload, until: time.Now().Add(heardLife)})
	p.enqueue(sg)
}

func (sg *signals) waiting(now bool) bool {
	before := sg.queued
	sg.queued = now
	return before
}

// fill appends everything that was heard just now. It takes no room: nothing is
// acknowledged.
func (sg *signals) fill(dst []byte, _ int) ([]byte, bool, error) {
	p := sg.pump
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	version := p.session.version
	for _, h := range sg.heard {
		_, exact := sg.exact[h.conversation]
		if !exact && !sg.all || now.After(h.until) || p.tooBig(publishLength(version, 0, h.topic, h.payload)) {
			continue
		}
		dst = appendPublish(dst, version, 0, false, h.topic, 0, h.payload)
	}
	sg.heard = nil
	return dst, false, nil
}

// listensTo returns the conversations whose signals are subscribed by their own
// topic.
func (p *pump) listensTo() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.signals.exact))
}
