package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-chat/parley"
)

// attachPause is how long a subscription waits after the store could not be
// read, before it is tried again.
const attachPause = 200 * time.Millisecond

// startAll attaches subscriptions. One that cannot be attached because the
// store does not answer is tried again as long as the connection lasts: SUBACK
// has promised it.
//
// resumed says that the device has come back with them: of conversations that
// have not changed since it left, it has everything.
func (s *session) startAll(subs []parley.Subscription, resumed bool) {
	defer func() {
		s.mu.Lock()
		s.attaching -= len(subs)
		s.mu.Unlock()
	}()
	for _, sub := range subs {
		for s.pump.ctx.Err() == nil {
			err := s.attach(s.pump.ctx, sub, resumed)
			if !s.holds(sub.Filter) { // unsubscribed meanwhile
				s.detachFilter(sub.Filter)
				break
			}
			if err == nil {
				break
			}
			if !parley.ErrorOf(err).Code.Retry() {
				s.broker.options.Logger.Info("subscription dropped", "device", s.device, "filter", sub.Filter, "error", err)
				s.drop(sub.Filter)
				break
			}
			s.broker.options.Logger.Warn("subscription is waiting for the store", "device", s.device, "error", err)
			s.pump.rest(attachPause)
		}
	}
}

// attach starts the deliveries of one granted filter. Doing it again changes
// nothing, except that states are sent again.
func (s *session) attach(ctx context.Context, sub parley.Subscription, resumed bool) error {
	t, err := parley.ParseFilter(sub.Filter)
	if err != nil {
		return err
	}
	switch {
	case t.Kind == parley.TopicMessages && t.Wildcard():
		return s.attachMemberships(ctx, sub.QoS)
	case t.Kind == parley.TopicMessages:
		return s.attachConversation(ctx, t, sub.QoS)
	case t.Kind == parley.TopicErrors:
		return s.attachErrors(ctx, t, sub.QoS)
	case t.Kind == parley.TopicState && t.Wildcard():
		return s.attachStates(ctx, sub.QoS, resumed)
	case t.Kind == parley.TopicState:
		return s.attachState(ctx, t, sub.QoS)
	case t.Kind == parley.TopicPresence:
		s.attachPresence(t, sub.QoS)
		return nil
	}
	return parley.Errorf(parley.CodeInvalid, "nothing is delivered here yet")
}

// attachMemberships delivers the conversations that the user takes part in and
// that may owe the device something. The others come through changed, when they
// change or are joined.
func (s *session) attachMemberships(ctx context.Context, qos byte) error {
	s.pump.member(qos)
	since := s.sinceWhen()
	conversations, err := s.broker.log.TakingPart(ctx, s.who, since)
	if err != nil {
		return fmt.Errorf("list conversations: %w", err)
	}
	streams := make([]parley.Stream, len(conversations))
	for i, c := range conversations {
		streams[i] = c.Stream()
	}
	if err := s.learn(ctx, streams); err != nil { // in one go
		return err
	}
	fresh := map[parley.Stream]*source{}
	for _, c := range conversations {
		if s.has(c) {
			continue
		}
		if src := s.join(c); src != nil && s.pump.isHeld(src) {
			fresh[c.Stream()] = src
		}
	}
	return s.confirm(ctx, fresh, since)
}

// sinceWhen returns the server time since when the device may lack something.
func (s *session) sinceWhen() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since
}

// has reports whether the device has acknowledged all of c.
func (s *session) has(c parley.Conversation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known := s.positions[c.Stream()]
	return known && at == c.Head
}

// confirm lets new sources of a membership filter go. The hub knows them now, so
// every change of the right to read them is heard of; what changed before that
// is found by asking again.
func (s *session) confirm(ctx context.Context, fresh map[parley.Stream]*source, since int64) error {
	if len(fresh) == 0 {
		return nil
	}
	conversations, err := s.broker.log.TakingPart(ctx, s.who, since)
	if err == nil {
		for _, c := range conversations {
			if src, ok := fresh[c.Stream()]; ok {
				s.pump.release(src, c.Head, s.sinceWhen())
				delete(fresh, c.Stream())
			}
		}
	}
	for _, src := range fresh {
		if s.pump.dismiss(src) {
			s.broker.hub.undeliver(src)
		}
	}
	if err != nil {
		return fmt.Errorf("list conversations: %w", err)
	}
	return nil
}

// join makes the source of a conversation that the user takes part in. A new one
// is held. There is none without a membership filter.
func (s *session) join(c parley.Conversation) *source {
	if !s.pump.isMember() {
		return nil
	}
	src, isNew := s.pump.attachMember(c.Stream())
	if isNew {
		s.broker.hub.deliver(src)
	}
	return src
}

// attachConversation delivers one conversation by its own topic. The right to
// read it is checked after the hub knows the source, so that no change of that
// right falls in between.
func (s *session) attachConversation(ctx context.Context, t parley.Topic, qos byte) error {
	stream, _ := t.Stream()
	src, isNew := s.pump.attach(stream, qos)
	s.broker.hub.unbar(stream, s)
	if isNew {
		s.broker.hub.deliver(src)
	}
	c, err := s.mayReadExactly(ctx, t.Conversation)
	if err != nil {
		return err
	}
	s.pump.release(src, c.Head, s.sinceWhen())
	return nil
}

func (s *session) attachErrors(ctx context.Context, t parley.Topic, qos byte) error {
	stream, _ := t.Stream()
	src, isNew := s.pump.attach(stream, qos)
	if isNew {
		s.broker.hub.deliver(src)
	}
	head, err := s.broker.log.Head(ctx, stream)
	if err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	s.pump.release(src, head, s.sinceWhen())
	return nil
}

func (s *session) attachStates(ctx context.Context, qos byte, resumed bool) error {
	since := int64(0) // a SUBSCRIBE is answered with what is retained
	if resumed {
		since = s.sinceWhen()
	}
	s.pump.states.listen()
	s.pump.watchAll(qos)
	if s.who.Role.Staff() {
		s.broker.hub.watchQueue(s)
	}
	conversations, err := s.broker.log.Watched(ctx, s.who, since)
	s.pump.states.answer(conversations)
	if err != nil {
		return fmt.Errorf("list conversations: %w", err)
	}
	return nil
}

func (s *session) attachState(ctx context.Context, t parley.Topic, qos byte) error {
	s.pump.states.listen()
	s.pump.watchOne(t.Conversation, qos)
	s.broker.hub.watch(parley.MessagesOf(t.Site, t.Conversation), s)
	c, err := s.mayReadExactly(ctx, t.Conversation)
	s.pump.states.answer([]parley.Conversation{c}) // the zero one, if there is none, is watched by nobody
	return err
}

// attachPresence delivers who is online: of everybody, those who are; of one user,
// whether or not.
func (s *session) attachPresence(t parley.Topic, qos byte) {
	user := watchedUser(t)
	s.pump.standings.watch(user, qos)
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

func (s *session) detachFilter(filter string) {
	if t, err := parley.ParseFilter(filter); err == nil {
		s.detach(t)
	}
}

// detach stops the deliveries of a filter, and returns the streams whose
// cursors nothing needs any more.
func (s *session) detach(t parley.Topic) []parley.Stream {
	switch {
	case t.Kind == parley.TopicState && t.Wildcard():
		s.pump.unwatchAll()
		s.broker.hub.unwatchQueue(s)
		return nil
	case t.Kind == parley.TopicState:
		s.pump.unwatchOne(t.Conversation)
		s.broker.hub.unwatch(parley.MessagesOf(t.Site, t.Conversation), s)
		return nil
	case t.Kind == parley.TopicPresence:
		s.pump.standings.unwatch(watchedUser(t))
		s.broker.hub.unwatchUser(s, watchedUser(t))
		return nil
	case t.Wildcard():
		s.detachMemberships()
		return nil
	}
	stream, ok := t.Stream()
	if !ok {
		return nil
	}
	return s.detachExact(stream)
}

// detachExact also forgets a conversation that may not be read now: its cursor
// waited for the day the right comes back.
func (s *session) detachExact(stream parley.Stream) []parley.Stream {
	gone := s.detachStreams([]parley.Stream{stream}, true, false)
	s.broker.hub.unbar(stream, s)
	_, _, shared := stream.Conversation()
	if len(gone) == 0 && !s.pump.delivers(stream) && !(shared && s.isMember()) {
		return []parley.Stream{stream}
	}
	return gone
}

// detachMemberships stops the deliveries of c/+/messages.
func (s *session) detachMemberships() {
	s.pump.leave()
	sources, _ := s.pump.all()
	var streams []parley.Stream
	for _, src := range sources {
		streams = append(streams, src.stream)
	}
	s.detachStreams(streams, false, true)
}

func (s *session) detachStreams(streams []parley.Stream, exact, member bool) []parley.Stream {
	var gone []parley.Stream
	for _, stream := range streams {
		if src := s.pump.detach(stream, exact, member); src != nil {
			s.broker.hub.undeliver(src)
			gone = append(gone, stream)
		}
	}
	return gone
}

// advanced follows a conversation in which nothing was decided: who may read it
// is who could before. A device that was owed nothing begins to be delivered to.
// It runs on the bridge's goroutine and does no input or output.
func (s *session) advanced(c parley.Conversation) {
	if s.pump.isMember() && s.who.TakesPart(c) {
		if src, isNew := s.pump.attachMember(c.Stream()); isNew {
			s.broker.hub.deliver(src)
			s.pump.admit(src)
		}
	}
	s.pump.states.changed(c)
}

// changed follows a conversation: deliveries begin when the user joins it and
// end when the right to read it ends. It runs on the bridge's goroutine and
// does no input or output.
func (s *session) changed(c parley.Conversation) {
	stream := c.Stream()
	// Not released up to c.Head: the log's tail has it when the Advanced call
	// comes that follows this one.
	if !s.who.TakesPart(c) {
		s.part(stream, false, true)
	} else if src := s.join(c); src != nil {
		s.pump.admit(src)
	}
	if s.who.MayIn(parley.ActionRead, c) != nil {
		s.part(stream, true, true)
	} else if src := s.regain(stream); src != nil {
		s.pump.admit(src)
	}
	s.pump.states.changed(c)
}

// regain makes the source of an exact subscription whose right to read is back.
// There is none if it was not lost.
func (s *session) regain(stream parley.Stream) *source {
	if !s.pump.isBarred(stream) {
		return nil
	}
	src, isNew := s.pump.regain(stream)
	if src == nil {
		return nil
	}
	s.broker.hub.unbar(stream, s)
	if isNew {
		s.broker.hub.deliver(src)
	}
	return src
}

// part stops the delivery of a stream but keeps its cursor, for the day the
// right comes back. An exact subscription waits for that day.
func (s *session) part(stream parley.Stream, exact, member bool) {
	src := s.pump.bar(stream, exact, member)
	if src == nil {
		return
	}
	s.broker.hub.undeliver(src)
	s.broker.hub.bar(stream, s)
	if cursor, placed := s.pump.parted(src); placed {
		s.put([]parley.Cursor{cursor})
		s.broker.cursors.moved(s)
	}
}
