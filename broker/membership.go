package broker

import (
	"maps"
	"slices"
)

// The filters that stand for "every conversation I may read" are kept in the
// pump, beside what they deliver, so that one lock orders both.

// member turns the messages of the user's conversations on.
func (p *pump) member(qos byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.membership, p.memberQoS = true, qos
}

func (p *pump) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.membership = false
}

func (p *pump) isMember() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.membership
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
