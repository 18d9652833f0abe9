package broker

import (
	"context"

	"github.com/parley-chat/parley"
)

func (s *session) detachFilter(filter string) {
	if t, err := parley.ParseFilter(filter); err == nil {
		s.detach(s.pump.ctx, t)
	}
}

// detach stops the deliveries of a filter, and returns the streams whose
// cursors nothing needs any more.
func (s *session) detach(ctx context.Context, t parley.Topic) []parley.Stream {
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
	case t.Kind == parley.TopicSignals:
		s.detachSignals(t)
		return nil
	case t.Wildcard():
		s.detachMemberships(t.Kind)
		return nil
	}
	stream, ok := t.Stream()
	if !ok {
		return nil
	}
	return s.detachExact(ctx, t.Kind, stream)
}

// detachExact also forgets a conversation that may not be read now: its cursor
// waited for the day the right comes back. A membership filter that delivers the
// stream as well goes on where the exact one was.
func (s *session) detachExact(ctx context.Context, kind parley.TopicKind, stream parley.Stream) []parley.Stream {
	src := s.pump.detach(stream, true, false)
	if src != nil {
		s.broker.hub.undeliver(src)
	}
	s.broker.hub.unbar(stream, s)
	member := s.isMember(kind)
	switch {
	case member && s.takesPart(ctx, stream):
		if src != nil {
			s.keepPosition(src)
		}
		return nil
	case src != nil, !member && !s.pump.delivers(stream):
		return []parley.Stream{stream}
	}
	return nil
}

// takesPart reports whether a stream is in a conversation of the user's own. When
// that cannot be found out, it is taken to be: a position too many is kept, none is
// lost.
func (s *session) takesPart(ctx context.Context, stream parley.Stream) bool {
	t, err := parley.ParseTopic(stream.Topic())
	if err != nil || t.Conversation == "" {
		return false
	}
	c, err := s.broker.log.Conversation(ctx, s.who, t.Conversation)
	if err != nil {
		return parley.ErrorOf(err).Code.Retry()
	}
	return s.who.TakesPart(c)
}

// keepPosition leaves the position of a source that is gone to another filter.
func (s *session) keepPosition(src *source) {
	if cursor, placed := s.pump.parted(src); placed {
		s.put([]parley.Cursor{cursor})
		s.broker.cursors.moved(s)
	}
}

// detachMemberships stops the deliveries of a membership filter. An exact one of
// the same stream, whose own deliveries have not begun yet, goes on where it was.
func (s *session) detachMemberships(kind parley.TopicKind) {
	s.pump.leave(kind)
	sources, _ := s.pump.all()
	for _, src := range sources {
		if src.kind != kind {
			continue
		}
		gone := s.pump.detach(src.stream, false, true)
		if gone == nil {
			continue
		}
		s.broker.hub.undeliver(gone)
		if s.holds(src.topic) {
			s.keepPosition(gone)
		}
	}
}
