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
