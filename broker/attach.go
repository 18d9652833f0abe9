package broker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/parley-chat/parley"
)

// attachPause is how long a subscription waits after the store could not be
// read, before it is tried again.
const attachPause = 200 * time.Millisecond

// starter attaches subscriptions in the order in which they were granted, one at
// a time: what a later SUBSCRIBE or UNSUBSCRIBE of the same filter says must not be
// overtaken by an earlier one.
type starter struct {
	mu      sync.Mutex
	queue   []starting
	running bool
}

// starting is a subscription that is to be attached. resumed says that the device
// has come back with it: of conversations that have not changed since it left, it
// has everything.
type starting struct {
	filter  string
	resumed bool
}

// startAll attaches subscriptions. One that cannot be attached because the
// store does not answer is tried again as long as the connection lasts: SUBACK
// has promised it.
func (s *session) startAll(subs []parley.Subscription, resumed bool) {
	st := &s.starter
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, sub := range subs {
		st.queue = append(st.queue, starting{sub.Filter, resumed})
	}
	if !st.running && len(st.queue) > 0 {
		st.running = true
		s.pump.done.Go(s.runStarter)
	}
}

func (s *session) runStarter() {
	st := &s.starter
	for {
		st.mu.Lock()
		if len(st.queue) == 0 {
			st.running = false
			st.mu.Unlock()
			return
		}
		next := st.queue[0]
		st.queue = st.queue[1:]
		st.mu.Unlock()
		if !s.begun(next) {
			return // what has not begun stays counted: the device may lack something
		}
		s.attachingMore(-1)
	}
}

// begun attaches one subscription, or finds that it is not to be. It returns
// false when the connection ends before that.
func (s *session) begun(next starting) bool {
	for s.pump.ctx.Err() == nil {
		if !s.holds(next.filter) { // unsubscribed meanwhile
			s.detachFilter(next.filter)
			return true
		}
		err := s.attach(s.pump.ctx, next.filter, next.resumed)
		if !s.holds(next.filter) {
			continue
		}
		if err == nil {
			return true
		}
		if !parley.ErrorOf(err).Code.Retry() {
			s.broker.options.Logger.Info("subscription dropped", "device", s.device, "filter", next.filter, "error", err)
			s.drop(next.filter)
			return true
		}
		if s.pump.ctx.Err() == nil {
			s.broker.options.Logger.Warn("subscription is waiting for the store", "device", s.device, "error", err)
		}
		s.pump.rest(attachPause)
	}
	return false
}

// attach starts the deliveries of one granted filter. Doing it again changes
// nothing, except that states are sent again.
func (s *session) attach(ctx context.Context, filter string, resumed bool) error {
	t, err := parley.ParseFilter(filter)
	if err != nil {
		return err
	}
	if err := s.who.May(parley.ActionSubscribe, t); err != nil {
		return err // granted when the user had another role
	}
	switch {
	case t.Kind == parley.TopicState && t.Wildcard():
		return s.attachStates(ctx, t, resumed)
	case t.Kind == parley.TopicState:
		return s.attachState(ctx, t)
	case t.Kind == parley.TopicPresence:
		s.attachPresence(t)
		return nil
	case t.Kind == parley.TopicSignals:
		s.attachSignals(t)
		return nil
	case isMembership(t):
		return s.attachMemberships(ctx, t)
	}
	if _, ok := t.Stream(); ok {
		return s.attachStream(ctx, t)
	}
	return errNothingHere()
}

func errNothingHere() error {
	return parley.Errorf(parley.CodeInvalid, "nothing is delivered here yet")
}

// attachMemberships delivers the streams of a kind in the conversations that the
// user takes part in and that may owe the device something. The others come
// through advanced, annotated and changed, when there is something new or the user
// joins.
func (s *session) attachMemberships(ctx context.Context, t parley.Topic) error {
	if !s.whileHeld(t, func(qos byte) { s.pump.member(t.Kind, qos) }) {
		return nil
	}
	since := s.sinceWhen()
	heads, err := s.broker.log.Streams(ctx, s.who, t.Kind, since)
	if err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	streams := make([]parley.Stream, len(heads))
	for i, h := range heads {
		streams[i] = h.Stream
	}
	if err := s.learn(ctx, streams); err != nil { // in one go
		return err
	}
	fresh := map[parley.Stream]*source{}
	for _, h := range heads {
		if s.has(h) {
			continue
		}
		if src := s.join(t.Kind, h.Stream); src != nil && s.pump.isHeld(src) {
			fresh[h.Stream] = src
		}
	}
	return s.confirm(ctx, t.Kind, fresh, since)
}

// whileHeld runs fn if the filter is still granted, with its QoS. UNSUBSCRIBE
// takes it away before it stops the deliveries, and so stops what fn has begun.
func (s *session) whileHeld(t parley.Topic, fn func(qos byte)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.filters[t.String()]
	if !ok {
		return false
	}
	fn(sub.QoS)
	return true
}

// sinceWhen returns the server time since when the device may lack something.
func (s *session) sinceWhen() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since
}

// has reports whether the device has acknowledged a stream up to its head.
func (s *session) has(h parley.StreamHead) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known := s.positions[h.Stream]
	return known && at == h.Seq
}

// confirm lets new sources of a membership filter go. The hub knows them now, so
// every change of the right to read them is heard of; what changed before that
// is found by asking again.
func (s *session) confirm(ctx context.Context, kind parley.TopicKind, fresh map[parley.Stream]*source, since int64) error {
	if len(fresh) == 0 {
		return nil
	}
	heads, err := s.broker.log.Streams(ctx, s.who, kind, since)
	if err == nil {
		for _, h := range heads {
			if src, ok := fresh[h.Stream]; ok {
				s.pump.release(src, h.Seq, s.sinceWhen())
				delete(fresh, h.Stream)
			}
		}
	}
	for _, src := range fresh {
		if s.pump.dismiss(src) {
			s.broker.hub.undeliver(src)
		}
	}
	if err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	return nil
}

// join makes the source of a stream in a conversation that the user takes part
// in. A new one is held. There is none without a membership filter of its kind.
func (s *session) join(kind parley.TopicKind, stream parley.Stream) *source {
	src, isNew := s.pump.attachMember(kind, stream)
	if isNew {
		s.broker.hub.deliver(src)
	}
	return src
}

// attachStream delivers a stream by its own topic. The right to read it is
// checked after the hub knows the source, so that no change of that right falls
// in between.
func (s *session) attachStream(ctx context.Context, t parley.Topic) error {
	stream, _ := t.Stream()
	var src *source
	var isNew bool
	if !s.whileHeld(t, func(qos byte) { src, isNew = s.pump.attach(t.Kind, stream, qos) }) {
		return nil
	}
	s.broker.hub.unbar(stream, s)
	if isNew {
		s.broker.hub.deliver(src)
	}
	head, _, err := s.readable(ctx, t)
	if err != nil {
		return err
	}
	s.pump.release(src, head, s.sinceWhen())
	return nil
}

func (s *session) attachStates(ctx context.Context, t parley.Topic, resumed bool) error {
	since := int64(0) // a SUBSCRIBE is answered with what is retained
	if resumed {
		since = s.sinceWhen()
		s.pump.states.resume(since)
	}
	s.pump.states.listen()
	s.whileHeld(t, s.pump.watchAll)
	if s.who.Role.Staff() {
		s.broker.hub.watchQueue(s)
	}
	conversations, err := s.broker.log.Watched(ctx, s.who, since)
	s.pump.states.answer(conversations)
	if err != nil {
		return fmt.Errorf("list conversations: %w", err)
	}
	gone, err := s.broker.log.Unwatched(ctx, s.who, since)
	if err != nil {
		return fmt.Errorf("list conversations: %w", err)
	}
	s.pump.states.lost(gone)
	return nil
}

func (s *session) attachState(ctx context.Context, t parley.Topic) error {
	s.pump.states.listen()
	s.whileHeld(t, func(qos byte) { s.pump.watchOne(t.Conversation, qos) })
	s.broker.hub.watch(parley.MessagesOf(t.Site, t.Conversation), s)
	c, err := s.mayReadExactly(ctx, t.Conversation)
	s.pump.states.answer([]parley.Conversation{c}) // the zero one, if there is none, is watched by nobody
	return err
}

// attachPresence delivers who is online: of everybody, those who are; of one user,
// whether or not.
func (s *session) attachPresence(t parley.Topic) {
	user := watchedUser(t)
	s.whileHeld(t, func(qos byte) { s.pump.standings.watch(user, qos) })
	s.broker.hub.watchUser(s, user)
	if user == "" {
		s.pump.standings.changed(true, s.broker.presence.everybody(t.Site)...)
		return
	}
	s.pump.standings.changed(true, user)
}

// watchedUser returns the user key of a presence topic, empty for everybody.
func watchedUser(t parley.Topic) string {
	if t.Wildcard() {
		return ""
	}
	return userKey(t.Site, t.User)
}
