package broker

import "github.com/parley-chat/parley"

// Which conversations a connection delivers follows what is decided in them. All
// of this runs on the bridge's goroutine and does no input or output.

// advanced follows a conversation in which nothing was decided: who may read it
// is who could before. A device that was owed nothing begins to be delivered to.
func (s *session) advanced(c parley.Conversation) {
	if s.pump.isMember(parley.TopicMessages) && s.who.TakesPart(c) {
		s.begin(parley.TopicMessages, c.Stream())
	}
	s.pump.states.changed(c)
}

// annotated does the same for notes about a conversation.
func (s *session) annotated(c parley.Conversation) {
	if s.pump.isMember(parley.TopicNotes) && s.who.TakesPart(c) {
		s.begin(parley.TopicNotes, c.Notes())
	}
}

// begin makes the source of a stream that the device has had all of so far, if
// there is none.
func (s *session) begin(kind parley.TopicKind, stream parley.Stream) {
	if src, isNew := s.pump.attachMember(kind, stream); isNew {
		s.broker.hub.deliver(src)
		s.pump.admit(src)
	}
}

// changed follows a conversation in which something was decided: deliveries begin
// when the user joins it and end when the right to read it ends.
func (s *session) changed(c parley.Conversation) {
	for _, stream := range streamsIn(c) {
		s.decided(stream, c)
	}
	s.pump.states.changed(c)
}

// decided begins or ends the deliveries of a stream. What begins is not released
// up to its head: the log's tail has that when the Advanced call comes that
// follows this one.
func (s *session) decided(in streamIn, c parley.Conversation) {
	if !s.who.TakesPart(c) {
		s.part(in.stream, false, true)
	} else if src := s.join(in.kind, in.stream); src != nil {
		s.pump.admit(src)
	}
	if s.who.MayIn(in.right, c) != nil {
		s.part(in.stream, true, true)
	} else if src := s.regain(in.stream); src != nil {
		s.pump.admit(src)
	}
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
