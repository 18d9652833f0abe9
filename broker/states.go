package broker

import (
	"encoding/json"
	"fmt"

	"github.com/parley-chat/parley"
)

// states delivers the newest state of conversations: the latest value only, one
// in flight for each topic. Guarded by the pump's lock.
type states struct {
	pump  *pump
	all   bool            // a c/+/state filter
	qos   byte            // of that filter
	exact map[string]byte // QoS by conversation subscribed by its own topic

	listening int                            // SUBSCRIBEs that are being answered
	heard     map[string]parley.Conversation // meanwhile: the newest that changed has seen

	known    map[string]told // what the client was told about
	before   int64           // it may know what was opened up to that server time from an earlier connection, 0 if there was none
	dirty    map[string]stateChange
	order    []string // of dirty, oldest change first
	inflight map[string]struct{}
	behind   int64 // server time from which the client may lack a state, 0 if it has all
	queued   bool
}

// told is what of a state must not go back.
type told struct {
	head, agentRead, first int64
	marks                  parley.Marks
}

// stateChange is what the client does not know yet.
type stateChange struct {
	conversation parley.Conversation
	retain       bool // answers a SUBSCRIBE
	gone         bool // the client may not see it any more
	blind        bool // it may know it from an earlier connection
}

func newStates(p *pump) *states {
	return &states{
		pump: p, exact: map[string]byte{}, known: map[string]told{},
		dirty: map[string]stateChange{}, inflight: map[string]struct{}{},
	}
}

// watches reports whether the client is to see c's state now. The lock is held.
func (st *states) watches(c parley.Conversation) bool {
	who := st.pump.session.who
	if who.MayIn(parley.ActionRead, c) != nil {
		return false
	}
	if _, ok := st.exact[c.ID]; ok {
		return true
	}
	return st.all && (who.TakesPart(c) || who.Role.Staff() && c.Status == parley.StatusQueued)
}

// changed takes a new state from the log, or the loss of the right to see it.
func (st *states) changed(c parley.Conversation) {
	st.pump.mu.Lock()
	defer st.pump.mu.Unlock()
	if !st.all && len(st.exact)+len(st.known)+st.listening == 0 {
		return // nobody watches
	}
	if st.listening > 0 {
		st.heard[c.ID] = c
	}
	if st.watches(c) {
		st.put(stateChange{conversation: c})
		return
	}
	_, known := st.known[c.ID]
	_, waits := st.dirty[c.ID] // which must not be told any more
	if known || waits || st.all && c.OpenedAt <= st.before {
		st.put(stateChange{conversation: c, gone: true, blind: !known})
	}
}

// resume takes a membership filter over from an earlier connection that had told
// everything up to server time since.
func (st *states) resume(since int64) {
	st.pump.mu.Lock()
	defer st.pump.mu.Unlock()
	st.before = since
}

// listen begins the answer to a SUBSCRIBE. What is read from now on may be older
// than what changed has seen.
func (st *states) listen() {
	st.pump.mu.Lock()
	defer st.pump.mu.Unlock()
	if st.listening == 0 {
		st.heard = map[string]parley.Conversation{}
	}
	st.listening++
}

// answer takes the states that answer a SUBSCRIBE, and ends what listen began.
func (st *states) answer(conversations []parley.Conversation) {
	st.pump.mu.Lock()
	defer st.pump.mu.Unlock()
	for _, c := range conversations {
		if heard, ok := st.heard[c.ID]; ok {
			c = c.Newest(heard)
		}
		if st.watches(c) {
			st.put(stateChange{conversation: c, retain: true})
		}
	}
	if st.listening--; st.listening == 0 {
		st.heard = nil
	}
}

// lost takes conversations that the client may have known when it left, and may
// not see now.
func (st *states) lost(conversations []parley.Conversation) {
	st.pump.mu.Lock()
	defer st.pump.mu.Unlock()
	for _, c := range conversations {
		if _, told := st.known[c.ID]; !told && !st.watches(c) {
			st.put(stateChange{conversation: c, gone: true, blind: true})
		}
	}
}

// put remembers the newest change of a conversation, unless the client was told
// a newer one. Of the same head it may have been told more marks: what answers a
// SUBSCRIBE can be ahead of what the log's follower has read just before. The lock is
// held.
func (st *states) put(change stateChange) {
	id := change.conversation.ID
	known := st.known[id]
	if change.conversation.Head < known.head {
		return
	}
	change.conversation = change.conversation.Newest(parley.Conversation{Head: known.head, First: known.first, Marks: known.marks, AgentRead: known.agentRead})
	old, ok := st.dirty[id]
	retain := !change.gone && (change.retain || ok && old.retain)
	if ok && !change.gone && !old.gone { // an older snapshot must not overtake
		change.conversation = change.conversation.Newest(old.conversation)
	} else if ok && old.conversation.Head > change.conversation.Head {
		change = old
	}
	if !ok {
		st.order = append(st.order, id)
	}
	change.retain = retain && !change.gone
	st.dirty[id] = change
	if st.behind == 0 {
		st.behind = max(st.pump.session.broker.hub.position.Load(), 1)
	}
	st.pump.enqueue(st)
}

func (st *states) waiting(now bool) bool {
	before := st.queued
	st.queued = now
	return before
}

// fill appends the states that have changed and are not in flight.
func (st *states) fill(dst []byte, room int) ([]byte, bool, error) {
	p := st.pump
	p.mu.Lock()
	defer p.mu.Unlock()
	var later []string
	for i, id := range st.order {
		_, busy := st.inflight[id]
		if busy || room == 0 || len(dst) > turnBytes {
			later = append(later, id)
			continue
		}
		change := st.dirty[id]
		delete(st.dirty, id)
		if _, known := st.known[id]; change.gone && !known && !change.blind || !change.gone && !st.watches(change.conversation) {
			continue // unsubscribed meanwhile
		}
		var err error
		if dst, err = st.deliver(dst, change); err != nil {
			st.order = append(later, st.order[i+1:]...)
			return dst, len(st.order) > 0, err
		}
		room--
	}
	st.order = later
	st.caughtUp()
	return dst, st.deliverable(), nil
}

// caughtUp notes that the client knows all states, if so. The lock is held.
func (st *states) caughtUp() {
	if len(st.dirty) == 0 && len(st.inflight) == 0 && st.behind > 0 {
		st.behind = 0
		st.pump.session.broker.cursors.moved(st.pump.session)
	}
}

// deliverable reports whether something waits that is not in flight.
func (st *states) deliverable() bool {
	for _, id := range st.order {
		if _, busy := st.inflight[id]; !busy {
			return true
		}
	}
	return false
}

func (st *states) deliver(dst []byte, change stateChange) ([]byte, error) {
	p := st.pump
	s := p.session
	c := change.conversation
	topic := parley.ConversationTopic(parley.TopicState, c.Site, c.ID).String()
	var payload []byte // empty: nothing to see any more
	if !change.gone {
		var err error
		if payload, err = json.Marshal(c.State(s.broker.log.Epoch(), s.who)); err != nil {
			return dst, fmt.Errorf("encode state: %w", err)
		}
	}
	qos := st.qosOf(c.ID)
	if change.gone {
		delete(st.known, c.ID)
	} else {
		st.known[c.ID] = told{head: c.Head, agentRead: c.AgentRead, first: c.First, marks: c.Marks}
	}
	if p.tooBig(publishLength(s.version, qos, topic, payload)) {
		return dst, nil
	}
	if qos == 0 {
		return appendPublish(dst, s.version, 0, change.retain, topic, 0, payload), nil
	}
	st.inflight[c.ID] = struct{}{}
	id := p.send(flight{conversation: c.ID})
	return appendPublish(dst, s.version, 1, change.retain, topic, id, payload), nil
}

// qosOf returns the highest QoS of the subscriptions that match.
func (st *states) qosOf(conversation string) byte {
	qos := st.exact[conversation]
	if st.all {
		qos = max(qos, st.qos)
	}
	return qos
}

// forget drops what the client was told on subscriptions that have ended: it
// does not expect to hear that those are gone. The lock is held.
func (st *states) forget() {
	for id := range st.known {
		if _, exact := st.exact[id]; !exact && !st.all {
			delete(st.known, id)
		}
	}
}

// acknowledged makes room for the conversation's next state. The lock is held.
func (st *states) acknowledged(conversation string) {
	delete(st.inflight, conversation)
	if _, ok := st.dirty[conversation]; ok {
		st.pump.enqueue(st)
	}
	st.caughtUp()
}

// watched returns the conversations subscribed by their own topic. The lock is
// held.
func (st *states) watched() []parley.Stream {
	streams := make([]parley.Stream, 0, len(st.exact))
	for id := range st.exact {
		streams = append(streams, parley.MessagesOf(st.pump.session.who.Site, id))
	}
	return streams
}
