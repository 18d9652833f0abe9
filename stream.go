package parley

import "strings"

// Stream names an ordered log of entries. Its name is that of the topic it is
// delivered on, without the protocol version: "{site}/c/{conversation}/messages".
type Stream string

// MessagesOf returns the stream of what everybody in a conversation sees.
func MessagesOf(site, conversation string) Stream {
	return Stream(site + "/c/" + conversation + "/messages")
}

// NotesOf returns the stream of a conversation's internal notes.
func NotesOf(site, conversation string) Stream {
	return Stream(site + "/c/" + conversation + "/notes")
}

// EventsOf returns the stream of one user's personal events.
func EventsOf(site, user string) Stream {
	return Stream(site + "/u/" + user + "/events")
}

// ErrorsOf returns the stream of refusals for one device.
func ErrorsOf(site, user, device string) Stream {
	return Stream(site + "/d/" + user + "." + device + "/errors")
}

// Topic returns the topic on which the stream's entries are delivered.
func (s Stream) Topic() string { return TopicPrefix + "/" + string(s) }

// Site returns the site that owns the stream.
func (s Stream) Site() string {
	site, _, _ := strings.Cut(string(s), "/")
	return site
}

// Conversation returns the conversation whose messages the stream holds. ok is
// false for every other kind of stream.
func (s Stream) Conversation() (site, conversation string, ok bool) {
	return s.conversation(TopicMessages)
}

// NotedConversation returns the conversation whose internal notes the stream
// holds. ok is false for every other kind of stream.
func (s Stream) NotedConversation() (site, conversation string, ok bool) {
	return s.conversation(TopicNotes)
}

func (s Stream) conversation(kind TopicKind) (site, conversation string, ok bool) {
	site, conversation, of := s.About()
	if of != kind {
		return "", "", false
	}
	return site, conversation, true
}

// About returns the conversation that the stream is about, and whether it holds its
// messages or its notes. For every other kind of stream all are empty.
func (s Stream) About() (site, conversation string, kind TopicKind) {
	t, err := ParseTopic(s.Topic())
	if err != nil || t.Kind != TopicMessages && t.Kind != TopicNotes {
		return "", "", ""
	}
	return t.Site, t.Conversation, t.Kind
}

// Kind returns the kind of topic that the stream is delivered on; empty for what
// is no stream.
func (s Stream) Kind() TopicKind {
	t, err := ParseTopic(s.Topic())
	if err != nil {
		return ""
	}
	if _, ok := t.Stream(); !ok {
		return ""
	}
	return t.Kind
}

// Stream returns the stream that is delivered on t. ok is false for topics that
// do not carry a stream, and for filters.
func (t Topic) Stream() (s Stream, ok bool) {
	if t.Wildcard() {
		return "", false
	}
	switch t.Kind {
	case TopicMessages, TopicNotes, TopicEvents, TopicErrors:
		return Stream(strings.TrimPrefix(t.String(), TopicPrefix+"/")), true
	}
	return "", false
}

// Head is the newest position of a stream. An empty stream has head 0.
type Head struct {
	Epoch   string // identity of the store's numbering
	Seq     int64  // of the newest entry
	Control int64  // seq of the newest control entry, 0 if none
	Count   int64  // messages so far, see Entry.Count
	First   int64  // seq where history begins, 0 if it was never cut
}

// StreamHead is a stream and the seq of its newest entry, 0 if it has none.
type StreamHead struct {
	Stream Stream
	Seq    int64
}

// ExpectAny makes an append unconditional.
const ExpectAny int64 = -1

// Appended is what a store answers for one entry of an append.
type Appended struct {
	Entry     Entry // as stored: with seq, server time and count; of a duplicate, the first one
	Duplicate bool  // the (stream, sender, id) was there already, with the same content
	Err       error // nil, ErrStale, or an *Error with CodeConflict: same id, other content
}
