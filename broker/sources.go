package broker

import (
	"maps"
	"slices"

	"github.com/parley-chat/parley"
)

// What a pump delivers, and why: sources come and go with subscriptions and with
// the right to read.

// attach returns the source of a stream that is subscribed by its own topic,
// made if need be. A new one is held until release.
func (p *pump) attach(kind parley.TopicKind, stream parley.Stream, qos byte) (src *source, isNew bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.barred, stream)
	src, isNew = p.source(kind, stream)
	src.exact, src.exactQoS = true, qos
	return src, isNew
}

// take removes the source of a stream, whatever it is there for.
func (p *pump) take(stream parley.Stream) *source {
	p.mu.Lock()
	defer p.mu.Unlock()
	src, ok := p.sources[stream]
	if !ok {
		return nil
	}
	src.detached = true
	delete(p.sources, stream)
	return src
}

// renew makes a source for the same reasons as one that was taken. It is held
// until its filter is attached.
func (p *pump) renew(old *source) *source {
	p.mu.Lock()
	defer p.mu.Unlock()
	src, _ := p.source(old.kind, old.stream)
	src.exact, src.exactQoS = old.exact, old.exactQoS
	src.member, src.memberQoS = old.member, old.memberQoS
	return src
}

// regain attaches a stream again that waits for the right to read it. If it does
// not wait, regain returns nil.
func (p *pump) regain(stream parley.Stream) (src *source, isNew bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	qos, ok := p.barred[stream]
	if !ok {
		return nil, false
	}
	delete(p.barred, stream)
	src, isNew = p.source(stream.Kind(), stream)
	src.exact, src.exactQoS = true, qos
	return src, isNew
}

// attachMember does the same for a stream of a membership filter. Without such a
// filter it returns nil.
func (p *pump) attachMember(kind parley.TopicKind, stream parley.Stream) (src *source, isNew bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	qos, ok := p.members[kind]
	if !ok {
		return nil, false
	}
	src, isNew = p.source(kind, stream)
	src.member, src.memberQoS = true, qos
	return src, isNew
}

// source returns the source of stream, made if need be. The lock is held.
func (p *pump) source(kind parley.TopicKind, stream parley.Stream) (src *source, isNew bool) {
	if src, ok := p.sources[stream]; ok {
		return src, false
	}
	src = &source{pump: p, kind: kind, stream: stream, topic: stream.Topic(), held: true}
	p.sources[stream] = src
	return src, true
}

// admit lets a checked source deliver what it is woken for.
func (p *pump) admit(src *source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	src.admit()
}

// release lets a checked source deliver up to head. Since then the device may
// lack something.
func (p *pump) release(src *source, head, since int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if src.behind == 0 {
		src.behind = max(since, 1)
	}
	src.admit()
	src.advance(head)
	src.caughtUp()
}

// dismiss detaches a source of a membership filter that is still held: the check
// said no. One that is subscribed by its own topic too has its own check.
func (p *pump) dismiss(src *source) (dismissed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !src.held || src.detached {
		return false
	}
	src.member = false
	if src.exact {
		return false
	}
	src.detached = true
	delete(p.sources, src.stream)
	return true
}

// isHeld reports whether src waits for the check of the right to read it.
func (p *pump) isHeld(src *source) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return src.held
}

// gone reports whether src has been detached.
func (p *pump) gone(src *source) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return src.detached
}

// detach stops a source at once, or takes one of its two reasons away.
func (p *pump) detach(stream parley.Stream, exact, member bool) (gone *source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if exact {
		delete(p.barred, stream)
	}
	return p.remove(stream, exact, member)
}

// bar is detach after the loss of the right to read: an exact subscription waits
// for regain.
func (p *pump) bar(stream parley.Stream, exact, member bool) (gone *source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if src, ok := p.sources[stream]; ok && exact && src.exact {
		p.barred[stream] = src.exactQoS
	}
	return p.remove(stream, exact, member)
}

// remove takes reasons away from a source. The lock is held.
func (p *pump) remove(stream parley.Stream, exact, member bool) (gone *source) {
	src, ok := p.sources[stream]
	if !ok {
		return nil
	}
	src.exact = src.exact && !exact
	src.member = src.member && !member
	if src.exact || src.member {
		return nil
	}
	src.detached = true
	delete(p.sources, stream)
	return src
}

func (p *pump) isBarred(stream parley.Stream) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.barred[stream]
	return ok
}

func (p *pump) barredStreams() []parley.Stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.barred))
}

// delivers reports whether stream has a source.
func (p *pump) delivers(stream parley.Stream) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.sources[stream]
	return ok
}
