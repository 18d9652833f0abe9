package broker

import (
	"maps"
	"slices"

	"github.com/parley-chat/parley"
)

// The filters that stand for "every conversation I may read" are kept in the
// pump, beside what they deliver, so that one lock orders both.

// memberKinds returns the kinds of streams that a filter delivers of all
// conversations that its user takes part in.
func memberKinds() [2]parley.TopicKind {
	return [2]parley.TopicKind{parley.TopicMessages, parley.TopicNotes}
}

// isMembership reports whether t is the filter of such a kind.
func isMembership(t parley.Topic) bool {
	kinds := memberKinds()
	return t.Wildcard() && slices.Contains(kinds[:], t.Kind)
}

// streamIn is one stream in a conversation, and the right to read it.
type streamIn struct {
	kind   parley.TopicKind
	stream parley.Stream
	right  parley.Action
}

func streamsIn(c parley.Conversation) [2]streamIn {
	return [2]streamIn{
		{parley.TopicMessages, c.Stream(), parley.ActionRead},
		{parley.TopicNotes, c.Notes(), parley.ActionNote},
	}
}

// member turns the streams of a kind in the user's conversations on.
func (p *pump) member(kind parley.TopicKind, qos byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.members[kind] = qos
}

// requalify gives what a filter delivers already another QoS: SUBACK promises it
// from now on, not from when the filter is attached once more.
func (p *pump) requalify(t parley.Topic, qos byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case isMembership(t):
		p.requalifyMembers(t.Kind, qos)
	case t.Kind == parley.TopicState && t.Wildcard():
		p.states.qos = qos
	case t.Kind == parley.TopicState:
		if _, ok := p.states.exact[t.Conversation]; ok {
			p.states.exact[t.Conversation] = qos
		}
	case t.Kind == parley.TopicPresence && t.Wildcard():
		p.standings.qos = qos
	case t.Kind == parley.TopicPresence:
		if _, ok := p.standings.exact[watchedUser(t)]; ok {
			p.standings.exact[watchedUser(t)] = qos
		}
	default:
		stream, _ := t.Stream()
		if src, ok := p.sources[stream]; ok {
			src.exactQoS = qos
		}
		if _, ok := p.barred[stream]; ok {
			p.barred[stream] = qos
		}
	}
}

func (p *pump) requalifyMembers(kind parley.TopicKind, qos byte) {
	if _, ok := p.members[kind]; !ok {
		return
	}
	p.members[kind] = qos
	for _, src := range p.sources {
		if src.kind == kind {
			src.memberQoS = qos
		}
	}
}

func (p *pump) leave(kind parley.TopicKind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.members, kind)
}

func (p *pump) isMember(kind parley.TopicKind) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.members[kind]
	return ok
}

func (p *pump) watchAll(qos byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states.all, p.states.qos = true, qos
}

func (p *pump) unwatchAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states.all = false
	p.states.forget()
}

func (p *pump) watchOne(conversation string, qos byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states.exact[conversation] = qos
}

func (p *pump) unwatchOne(conversation string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.states.exact, conversation)
	p.states.forget()
}

// watchedUsers returns the users, by user key, whose presence is subscribed by
// its own topic.
func (p *pump) watchedUsers() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.standings.exact))
}
