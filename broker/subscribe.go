package broker

import (
	"context"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// subscribe decides about every filter of a SUBSCRIBE, stores what was granted,
// answers, and then starts the deliveries.
func (s *session) subscribe(pk *packets.Packet) {
	ctx, cancel := context.WithTimeout(s.pump.ctx, sessionTime)
	defer cancel()
	s.attachingMore(len(pk.Filters))
	from, bad := startOf(pk)
	codes := make([]byte, len(pk.Filters))
	var granted []parley.Subscription
	for i, f := range pk.Filters {
		sub := parley.Subscription{Filter: f.Filter, QoS: grantedQoS(f)}
		err := bad
		if err == nil {
			err = s.grant(ctx, sub, from)
		}
		if err != nil {
			codes[i] = subackCode(err, s.version)
			continue
		}
		codes[i] = sub.QoS
		granted = append(granted, sub)
	}
	s.reply(packets.Suback, pk.PacketID, codes)
	crash.At(crash.SubackWritten)
	s.attachingMore(len(granted) - len(pk.Filters))
	if len(granted) > 0 {
		s.startAll(granted, false)
	}
}

// grantedQoS is what a filter gets if it is granted: 1 at most, and 0 for what is
// never delivered twice.
func grantedQoS(f packets.Subscription) byte {
	if t, err := parley.ParseFilter(f.Filter); err == nil && t.Kind == parley.TopicSignals {
		return 0
	}
	return min(f.Qos, 1)
}

// attachingMore counts subscriptions whose deliveries have not begun.
func (s *session) attachingMore(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attaching += n
}

// reply writes a SUBACK or UNSUBACK.
func (s *session) reply(kind byte, id uint16, codes []byte) {
	_, _ = s.conn.Write(appendReply(nil, s.version, kind, id, codes)) // a failed write has closed the connection
}

// subackCode translates a refusal of a filter.
func subackCode(err error, version byte) byte {
	if version < 5 {
		return packets.ErrUnspecifiedError.Code
	}
	switch code := parley.ErrorOf(err).Code; {
	case code.Retry():
		return packets.ErrUnspecifiedError.Code // the store; try again
	case code == parley.CodeInvalid:
		return packets.ErrTopicFilterInvalid.Code
	case code == parley.CodeTooLarge:
		return packets.ErrQuotaExceeded.Code
	case code == parley.CodeConflict:
		return packets.ErrImplementationSpecificError.Code
	}
	return packets.ErrNotAuthorized.Code
}

// holds reports whether the filter is granted.
func (s *session) holds(filter string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.filters[filter]
	return ok
}

// holdsWildcard reports whether any filter for several conversations is granted.
func (s *session) holdsWildcard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for filter := range s.filters {
		if t, err := parley.ParseFilter(filter); err == nil && t.Conversation == parley.Any {
			return true
		}
	}
	return false
}

// isMember reports whether the membership filter of a kind of stream is granted.
func (s *session) isMember(kind parley.TopicKind) bool {
	return s.holds(parley.ConversationTopic(kind, s.who.Site, parley.Any).String())
}
