package broker

import (
	"encoding/json"
	"fmt"

	"github.com/parley-chat/parley"
)

// standings delivers who is online: the latest value only, one in flight for each
// user. Guarded by the pump's lock.
type standings struct {
	pump  *pump
	all   bool            // a presence/+ filter
	qos   byte            // of that filter
	exact map[string]byte // QoS by user key subscribed by its own topic

	dirty    map[string]bool // user keys the client does not know the newest of; whether it answers a SUBSCRIBE
	order    []string        // of dirty, oldest change first
	inflight map[string]struct{}
	queued   bool
}

func newStandings(p *pump) *standings {
	return &standings{pump: p, exact: map[string]byte{}, dirty: map[string]bool{}, inflight: map[string]struct{}{}}
}

// changed notes that users have come or gone, or that a SUBSCRIBE asks for them.
func (st *standings) changed(retain bool, users ...string) {
	st.pump.mu.Lock()
	defer st.pump.mu.Unlock()
	for _, user := range users {
		if _, ok := st.dirty[user]; !ok {
			st.order = append(st.order, user)
		}
		st.dirty[user] = retain || st.dirty[user]
	}
	if len(users) > 0 {
		st.pump.enqueue(st)
	}
}

// watch turns a filter on; an empty user means everybody.
func (st *standings) watch(user string, qos byte) {
	st.pump.mu.Lock()
	defer st.pump.mu.Unlock()
	if user == "" {
		st.all, st.qos = true, qos
		return
	}
	st.exact[user] = qos
}

// unwatch turns it off.
func (st *standings) unwatch(user string) {
	st.pump.mu.Lock()
	defer st.pump.mu.Unlock()
	if user == "" {
		st.all = false
		return
	}
	delete(st.exact, user)
}

func (st *standings) waiting(now bool) bool {
	before := st.queued
	st.queued = now
	return before
}

// fill appends the standings that have changed and are not in flight, as they are
// now.
func (st *standings) fill(dst []byte, room int) ([]byte, bool, error) {
	p := st.pump
	p.mu.Lock()
	defer p.mu.Unlock()
	var later []string
	for _, user := range st.order {
		_, busy := st.inflight[user]
		if busy || room == 0 || len(dst) > turnBytes {
			later = append(later, user)
			continue
		}
		retain := st.dirty[user]
		delete(st.dirty, user)
		qos, watched := st.qosOf(user)
		if !watched {
			continue // unsubscribed meanwhile
		}
		var err error
		if dst, err = st.deliver(dst, user, qos, retain); err != nil {
			return dst, false, err
		}
		room--
	}
	st.order = later
	return dst, st.deliverable(), nil
}

func (st *standings) deliverable() bool {
	for _, user := range st.order {
		if _, busy := st.inflight[user]; !busy {
			return true
		}
	}
	return false
}

func (st *standings) deliver(dst []byte, user string, qos byte, retain bool) ([]byte, error) {
	p := st.pump
	s := p.session
	now := s.broker.presence.of(user)
	payload, err := json.Marshal(now)
	if err != nil {
		return dst, fmt.Errorf("encode presence: %w", err)
	}
	topic := parley.Topic{Kind: parley.TopicPresence, Site: s.who.Site, User: now.User}.String()
	if p.tooBig(publishLength(s.version, qos, topic, payload)) {
		return dst, nil
	}
	if qos == 0 {
		return appendPublish(dst, s.version, 0, retain, topic, 0, payload), nil
	}
	st.inflight[user] = struct{}{}
	return appendPublish(dst, s.version, 1, retain, topic, p.send(flight{user: user}), payload), nil
}

// qosOf returns the highest QoS of the subscriptions that match, and whether any
// does.
func (st *standings) qosOf(user string) (qos byte, watched bool) {
	qos, watched = st.exact[user]
	if st.all {
		qos, watched = max(qos, st.qos), true
	}
	return qos, watched
}

// acknowledged makes room for the user's next standing. The lock is held.
func (st *standings) acknowledged(user string) {
	delete(st.inflight, user)
	if _, ok := st.dirty[user]; ok {
		st.pump.enqueue(st)
	}
}
