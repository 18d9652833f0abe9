package broker

import (
	"maps"
	"slices"

	"github.com/parley-chat/parley"
)

// Advanced wakes the pumps of a stream. It is part of the bridge's Observer.
func (b *Broker) Advanced(stream parley.Stream, seq int64) {
	h := b.hub
	h.mu.RLock()
	defer h.mu.RUnlock()
	for src := range h.streams[stream] {
		src.pump.advanced(src, seq)
	}
}

// Followed notes how far the log has been followed. It is part of the bridge's
// Observer.
func (b *Broker) Followed(at int64) {
	if at > b.hub.position.Load() { // there is one goroutine
		b.hub.position.Store(at)
	}
}

// Noted tells the sessions of c's agent of new notes. It is part of the bridge's
// Observer.
func (b *Broker) Noted(c parley.Conversation) {
	b.hub.mu.RLock()
	agents := slices.Collect(maps.Keys(b.hub.users[userKey(c.Site, c.Assignee)]))
	b.hub.mu.RUnlock()
	for _, s := range agents {
		s.annotated(c)
	}
}

// Changed tells every session that c concerns. It is part of the bridge's
// Observer.
func (b *Broker) Changed(c parley.Conversation, decided bool) {
	if decided {
		for s := range b.hub.concerned(c) {
			s.changed(c)
		}
		return
	}
	b.hub.scratch = b.hub.followers(b.hub.scratch[:0], c)
	for _, s := range b.hub.scratch {
		s.advanced(c)
	}
	clear(b.hub.scratch)
}

// Marked tells the sessions that watch c's state. It is part of the bridge's
// Observer.
func (b *Broker) Marked(c parley.Conversation) {
	b.hub.scratch = b.hub.followers(b.hub.scratch[:0], c)
	for _, s := range b.hub.scratch {
		s.pump.states.changed(c)
	}
	clear(b.hub.scratch)
}

// followers appends the sessions that a change without a decision concerns: those
// of c's visitor and agent, those that watch its state, and for a queued one the
// agents who watch the queue. Some may be there twice.
func (h *hub) followers(dst []*session, c parley.Conversation) []*session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	add := func(set map[*session]struct{}) {
		for s := range set {
			dst = append(dst, s)
		}
	}
	add(h.users[userKey(c.Site, c.Visitor)])
	if c.Assignee != "" {
		add(h.users[userKey(c.Site, c.Assignee)])
	}
	add(h.watches[c.Stream()])
	if c.Status == parley.StatusQueued {
		add(h.queues[c.Site])
	}
	return dst
}

// concerned returns the sessions that a decision concerns: those of c's visitor
// and agent, those that watch its state or the queue, those that deliver it now,
// because they may have to stop, and those whose subscription waits for the right
// to read it.
func (h *hub) concerned(c parley.Conversation) map[*session]struct{} {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := map[*session]struct{}{}
	add := func(set map[*session]struct{}) {
		for s := range set {
			all[s] = struct{}{}
		}
	}
	add(h.users[userKey(c.Site, c.Visitor)])
	add(h.users[userKey(c.Site, c.Assignee)])
	add(h.watches[c.Stream()])
	add(h.queues[c.Site])
	for _, in := range streamsIn(c) {
		add(h.barred[in.stream])
		for src := range h.streams[in.stream] {
			all[src.pump.session] = struct{}{}
		}
	}
	return all
}
