package broker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/parley-chat/parley"
)

// attachPause is how long a subscription waits after the store could not be
// read, before it is tried again.
const attachPause = 200 * time.Millisecond

// startAll attaches subscriptions. One that cannot be attached because the
// store does not answer is tried again as long as the connection lasts: SUBACK
// has promised it.
func (s *session) startAll(subs []parley.Subscription) {
	for _, sub := range subs {
		for s.pump.ctx.Err() == nil {
			err := s.attach(s.pump.ctx, sub)
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
func (s *session) attach(ctx context.Context, sub parley.Subscription) error {
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
		return s.attachStates(ctx, sub.QoS)
	case t.Kind == parley.TopicState:
		return s.attachState(ctx, t, sub.QoS)
	}
	return parley.Errorf(parley.CodeInvalid, "nothing is delivered here yet")
}

// attachMemberships delivers every conversation that the user takes part in.
// Those joined later come through changed.
func (s *session) attachMemberships(ctx context.Context, qos byte) error {
	s.pump.member(qos)
	conversations, err := s.broker.log.TakingPart(ctx, s.who)
	if err != nil {
		return fmt.Errorf("list conversations: %w", err)
	}
	fresh := map[parley.Stream]*source{}
	for _, c := range conversations {
		if src, isNew := s.join(c); isNew {
			fresh[c.Stream()] = src
		}
	}
	return s.confirm(ctx, fresh)
}

// confirm lets new sources of a membership filter go. The hub knows them now, so
// every change of the right to read them is heard of; what changed before that
// is found by asking again.
func (s *session) confirm(ctx context.Context, fresh map[parley.Stream]*source) error {
	if len(fresh) == 0 {
		return nil
	}
	conversations, err := s.broker.log.TakingPart(ctx, s.who)
	if err == nil {
		for _, c := range conversations {
			if src, ok := fresh[c.Stream()]; ok {
				s.pump.release(src, c.Head)
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
func (s *session) join(c parley.Conversation) (src *source, isNew bool) {
	if !s.pump.isMember() {
		return nil, false // perhaps not resumed yet: there are no cursors to look at
	}
	stream := c.Stream()
	src, isNew = s.pump.attachMember(stream, s.startOf(stream))
	if isNew {
		s.broker.hub.deliver(src)
	}
	return src, isNew
}

// attachConversation delivers one conversation by its own topic. The right to
// read it is checked after the hub knows the source, so that no change of that
// right falls in between.
func (s *session) attachConversation(ctx context.Context, t parley.Topic, qos byte) error {
	stream, _ := t.Stream()
	src, isNew := s.pump.attach(stream, qos, s.startOf(stream))
	s.broker.hub.unbar(stream, s)
	if isNew {
		s.broker.hub.deliver(src)
	}
	c, err := s.mayReadExactly(ctx, t.Conversation)
	if err != nil {
		return err
	}
	s.pump.release(src, c.Head)
	return nil
}

func (s *session) attachErrors(ctx context.Context, t parley.Topic, qos byte) error {
	stream, _ := t.Stream()
	src, isNew := s.pump.attach(stream, qos, s.startOf(stream))
	if isNew {
		s.broker.hub.deliver(src)
	}
	head, err := s.broker.log.Head(ctx, stream)
	if err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	s.pump.release(src, head)
	return nil
}

func (s *session) attachStates(ctx context.Context, qos byte) error {
	s.pump.states.listen()
	s.pump.watchAll(qos)
	if s.who.Role.Staff() {
		s.broker.hub.watchQueue(s)
	}
	conversations, err := s.broker.log.Watched(ctx, s.who)
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
	case t.Wildcard():
		return s.detachMemberships()
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

// detachMemberships also forgets conversations that the user has left: their
// cursors waited for the day of the return.
func (s *session) detachMemberships() []parley.Stream {
	s.pump.leave()
	sources, _ := s.pump.all()
	var streams []parley.Stream
	for _, src := range sources {
		streams = append(streams, src.stream)
	}
	gone := s.detachStreams(streams, false, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream := range s.stored {
		if _, _, ok := stream.Conversation(); ok && !slices.Contains(streams, stream) {
			if _, exact := s.filters[stream.Topic()]; !exact {
				gone = append(gone, stream)
			}
		}
	}
	return gone
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

// changed follows a conversation: deliveries begin when the user joins it and
// end when the right to read it ends. It runs on the bridge's goroutine and
// does no input or output.
func (s *session) changed(c parley.Conversation) {
	stream := c.Stream()
	// Not released up to c.Head: the log's tail has it when the Advanced call
	// comes that follows this one.
	if !s.who.TakesPart(c) {
		s.part(stream, false, true)
	} else if src, _ := s.join(c); src != nil {
		s.pump.admit(src, c.Head)
	}
	if s.who.MayIn(parley.ActionRead, c) != nil {
		s.part(stream, true, true)
	} else if src := s.regain(stream); src != nil {
		s.pump.admit(src, c.Head)
	}
	s.pump.states.changed(c)
}

// regain makes the source of an exact subscription whose right to read is back.
// There is none if it was not lost.
func (s *session) regain(stream parley.Stream) *source {
	if !s.pump.isBarred(stream) {
		return nil
	}
	src, isNew := s.pump.regain(stream, s.startOf(stream))
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
	cursor := s.pump.parted(src)
	s.mu.Lock()
	s.stored[stream] = cursor
	s.mu.Unlock()
	s.broker.cursors.moved(s)
}
