package parley

import (
	"strings"
	"unicode/utf8"
)

// TopicPrefix is the first level of every topic: the protocol version.
const TopicPrefix = "p1"

// MaxTopicLength bounds a topic or filter in bytes: the longest legal one has
// three identifiers and a few fixed levels.
const MaxTopicLength = 256

// TopicKind tells what a topic carries.
type TopicKind string

// The kinds of topics. No client ever needs a topic that is not here.
const (
	TopicSend      TopicKind = "send"       // p1/{site}/c/{conversation}/send
	TopicMessages  TopicKind = "messages"   // p1/{site}/c/{conversation}/messages
	TopicNotesSend TopicKind = "notes/send" // p1/{site}/c/{conversation}/notes/send
	TopicNotes     TopicKind = "notes"      // p1/{site}/c/{conversation}/notes
	TopicMarks     TopicKind = "marks"      // p1/{site}/c/{conversation}/marks
	TopicState     TopicKind = "state"      // p1/{site}/c/{conversation}/state
	TopicSignals   TopicKind = "signals"    // p1/{site}/c/{conversation}/signals
	TopicEvents    TopicKind = "events"     // p1/{site}/u/{user}/events
	TopicSet       TopicKind = "set"        // p1/{site}/u/{user}/set
	TopicErrors    TopicKind = "errors"     // p1/{site}/d/{user}.{device}/errors
	TopicAuth      TopicKind = "auth"       // p1/{site}/d/{user}.{device}/auth
	TopicPresence  TopicKind = "presence"   // p1/{site}/presence/{user}
	TopicVisits    TopicKind = "visits"     // p1/{site}/visits/{user}
)

// Any stands for "every one that I may read" in the place of a conversation or
// user of a filter. It is MQTT's single-level wildcard.
const Any = "+"

// Topic is a parsed topic or topic filter. Which fields are set follows from
// Kind; in a filter, Conversation or User may be Any.
type Topic struct {
	Kind         TopicKind
	Site         string
	Conversation string
	User         string
	Device       string
}

// ConversationTopic returns the topic of kind in a conversation.
func ConversationTopic(kind TopicKind, site, conversation string) Topic {
	return Topic{Kind: kind, Site: site, Conversation: conversation}
}

// ParseTopic parses a topic name. It fails with CodeInvalid on anything that is
// not exactly one of the kinds above with valid identifiers.
func ParseTopic(s string) (Topic, error) {
	t, ok := parseTopic(s)
	if !ok || t.Wildcard() {
		return Topic{}, Errorf(CodeInvalid, "no such topic; the topics are listed in the protocol page")
	}
	return t, nil
}

// ParseFilter parses a topic filter: an exact topic, or one of the membership
// filters c/+/messages, c/+/notes, c/+/state, c/+/signals, presence/+ and
// visits/+. Everything else, shared subscriptions and $SYS included, fails with
// CodeInvalid.
func ParseFilter(s string) (Topic, error) {
	t, ok := parseTopic(s)
	if !ok || t.Wildcard() && !t.Kind.membership() {
		return Topic{}, Errorf(CodeInvalid, "this filter is not available; use an exact topic or one of c/+/messages, c/+/notes, c/+/state, c/+/signals, presence/+, visits/+")
	}
	return t, nil
}

// Wildcard reports whether t is a filter for more than one topic.
func (t Topic) Wildcard() bool {
	return t.Conversation == Any || t.User == Any
}

func (k TopicKind) membership() bool {
	switch k {
	case TopicMessages, TopicNotes, TopicState, TopicSignals, TopicPresence, TopicVisits:
		return true
	}
	return false
}

// String builds the topic. It is the inverse of ParseTopic and ParseFilter.
func (t Topic) String() string {
	switch t.Kind {
	case TopicEvents, TopicSet:
		return TopicPrefix + "/" + t.Site + "/u/" + t.User + "/" + string(t.Kind)
	case TopicErrors, TopicAuth:
		return TopicPrefix + "/" + t.Site + "/d/" + t.User + "." + t.Device + "/" + string(t.Kind)
	case TopicPresence, TopicVisits:
		return TopicPrefix + "/" + t.Site + "/" + string(t.Kind) + "/" + t.User
	default:
		return TopicPrefix + "/" + t.Site + "/c/" + t.Conversation + "/" + string(t.Kind)
	}
}

// parseTopic accepts Any wherever a conversation or user stands; its callers
// decide whether that is allowed.
func parseTopic(s string) (Topic, bool) {
	if len(s) > MaxTopicLength || !utf8.ValidString(s) {
		return Topic{}, false
	}
	prefix, rest, ok := strings.Cut(s, "/")
	if !ok || prefix != TopicPrefix {
		return Topic{}, false
	}
	site, rest, ok := strings.Cut(rest, "/")
	if !ok || !ValidID(site) {
		return Topic{}, false
	}
	room, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return Topic{}, false
	}
	switch room {
	case "c":
		return parseConversationTopic(site, rest)
	case "u":
		return parseUserTopic(site, rest)
	case "d":
		return parseDeviceTopic(site, rest)
	case "presence", "visits":
		return Topic{Kind: TopicKind(room), Site: site, User: rest}, validOrAny(rest)
	}
	return Topic{}, false
}

func parseConversationTopic(site, s string) (Topic, bool) {
	conversation, kind, ok := strings.Cut(s, "/")
	if !ok || !validOrAny(conversation) {
		return Topic{}, false
	}
	switch k := TopicKind(kind); k {
	case TopicSend, TopicMessages, TopicNotesSend, TopicNotes, TopicMarks, TopicState, TopicSignals:
		return Topic{Kind: k, Site: site, Conversation: conversation}, true
	}
	return Topic{}, false
}

func parseUserTopic(site, s string) (Topic, bool) {
	user, kind, ok := strings.Cut(s, "/")
	if !ok || !validOrAny(user) {
		return Topic{}, false
	}
	switch k := TopicKind(kind); k {
	case TopicEvents, TopicSet:
		return Topic{Kind: k, Site: site, User: user}, true
	}
	return Topic{}, false
}

func parseDeviceTopic(site, s string) (Topic, bool) {
	client, kind, ok := strings.Cut(s, "/")
	if !ok {
		return Topic{}, false
	}
	user, device, ok := SplitClientID(client)
	if !ok {
		return Topic{}, false
	}
	switch k := TopicKind(kind); k {
	case TopicErrors, TopicAuth:
		return Topic{Kind: k, Site: site, User: user, Device: device}, true
	}
	return Topic{}, false
}

func validOrAny(id string) bool { return id == Any || ValidID(id) }

// SplitClientID splits an MQTT client identifier "{user}.{device}".
func SplitClientID(s string) (user, device string, ok bool) {
	user, device, ok = strings.Cut(s, ".")
	return user, device, ok && ValidID(user) && ValidID(device)
}
