package broker

import "github.com/parley-chat/parley"

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
	return s.detachExact(t.Kind, stream)
}

// detachExact also forgets a conversation that may not be read now: its cursor
// waited for the day the right comes back.
func (s *session) detachExact(kind parley.TopicKind, stream parley.Stream) []parley.Stream {
	gone := s.detachStreams([]parley.Stream{stream}, true, false)
	s.broker.hub.unbar(stream, s)
	if len(gone) == 0 && !s.pump.delivers(stream) && !s.isMember(kind) {
		return []parley.Stream{stream}
	}
	return gone
}

// detachMemberships stops the deliveries of a membership filter.
func (s *session) detachMemberships(kind parley.TopicKind) {
	s.pump.leave(kind)
	sources, _ := s.pump.all()
	var streams []parley.Stream
	for _, src := range sources {
		if src.kind == kind {
			streams = append(streams, src.stream)
		}
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
