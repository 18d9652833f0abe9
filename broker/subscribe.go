package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// subscribe decides about every filter of a SUBSCRIBE, stores what was granted,
// answers, and then starts the deliveries.
func (s *session) subscribe(pk packets.Packet) {
	ctx, cancel := context.WithTimeout(s.pump.ctx, sessionTime)
	defer cancel()
	s.attachingMore(len(pk.Filters))
	from, bad := startOf(pk)
	codes := make([]byte, len(pk.Filters))
	var granted []parley.Subscription
	for i, f := range pk.Filters {
		sub := parley.Subscription{Filter: f.Filter, QoS: min(f.Qos, 1)}
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
		s.pump.done.Go(func() { s.startAll(granted, false) })
	}
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

// grant decides about one filter and stores it with the positions it starts from.
func (s *session) grant(ctx context.Context, sub parley.Subscription, from *start) error {
	t, err := parley.ParseFilter(sub.Filter)
	if err != nil {
		return err
	}
	if err := s.who.May(parley.ActionSubscribe, t); err != nil {
		return err
	}
	s.mu.Lock()
	_, again := s.filters[sub.Filter]
	full := len(s.filters) >= MaxFilters
	s.mu.Unlock()
	if full && !again {
		return parley.Errorf(parley.CodeTooLarge, "a session holds at most %d subscriptions", MaxFilters)
	}
	save := parley.SubscriptionSave{Subscription: sub}
	switch {
	case from != nil:
		save.Reset = true
		save.Starts, err = s.startsFrom(ctx, t, from)
	case again:
		err = s.mayStill(ctx, t)
	default:
		if t.Conversation == parley.Any && !s.holdsWildcard() {
			save.Seen = s.broker.hub.position.Load() // before the streams are listed
		}
		save.Starts, err = s.starts(ctx, t)
	}
	if err != nil {
		return err
	}
	crash.At(crash.SubscribeDecided)
	defer crash.At(crash.SubscriptionSaved)
	return s.hold(ctx, save)
}

// hold makes a granted filter one of the session's.
func (s *session) hold(ctx context.Context, save parley.SubscriptionSave) error {
	if s.keeps() {
		if err := s.broker.options.Sessions.SaveSubscription(ctx, s.device, s.generation, save); err != nil {
			return fmt.Errorf("save subscription: %w", err)
		}
	}
	if save.Reset {
		s.restart(save.Starts)
	} else if !s.keeps() {
		s.put(save.Starts)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filters[save.Filter] = save.Subscription
	s.since = max(s.since, save.Seen)
	return nil
}

// starts returns where a new filter starts. What is readable now starts at its
// head, unless the device has a position already; what is not in the answer
// becomes readable later and starts at its beginning.
func (s *session) starts(ctx context.Context, t parley.Topic) ([]parley.Cursor, error) {
	switch t.Kind {
	case parley.TopicMessages:
		if t.Wildcard() {
			return s.memberStarts(ctx)
		}
		c, err := s.mayReadExactly(ctx, t.Conversation)
		if err != nil || s.who.TakesPart(c) && s.isMember() {
			return nil, err // a membership filter has placed it, or leaves it at its beginning
		}
		return s.exactStart(t, c.Head), nil
	case parley.TopicErrors:
		stream, _ := t.Stream()
		head, err := s.broker.log.Head(ctx, stream)
		return s.exactStart(t, head), err
	}
	return nil, s.mayStill(ctx, t)
}

// mayStill reports whether the right to a filter is there now.
func (s *session) mayStill(ctx context.Context, t parley.Topic) error {
	switch t.Kind {
	case parley.TopicErrors, parley.TopicPresence:
		return nil
	case parley.TopicMessages, parley.TopicState:
		if t.Wildcard() {
			return nil
		}
		_, err := s.mayReadExactly(ctx, t.Conversation)
		return err
	}
	return parley.Errorf(parley.CodeInvalid, "nothing is delivered here yet")
}

func (s *session) memberStarts(ctx context.Context) ([]parley.Cursor, error) {
	conversations, err := s.broker.log.TakingPart(ctx, s.who, 0)
	if err != nil {
		return nil, fmt.Errorf("list conversations: %w", err)
	}
	var starts []parley.Cursor
	for _, c := range conversations {
		if !s.placed(c.Stream()) {
			starts = append(starts, s.cursor(c.Stream(), c.Head))
		}
	}
	return starts, nil
}

func (s *session) exactStart(t parley.Topic, head int64) []parley.Cursor {
	stream, _ := t.Stream()
	if s.placed(stream) {
		return nil
	}
	return []parley.Cursor{s.cursor(stream, head)}
}

// mayReadExactly returns a conversation that the user may read. It lets a
// visitor subscribe to one that does not exist yet, and returns it without a
// head: its client made the id and will open it. Should somebody else open it,
// changed takes the subscription away.
func (s *session) mayReadExactly(ctx context.Context, conversation string) (parley.Conversation, error) {
	c, err := s.broker.log.Conversation(ctx, s.who, conversation)
	var e *parley.Error
	if s.who.Role != parley.RoleVisitor || !errors.As(err, &e) || e.Code != parley.CodeNotFound {
		return c, err
	}
	head, herr := s.broker.log.Head(ctx, parley.MessagesOf(s.who.Site, conversation))
	if herr != nil {
		return c, fmt.Errorf("read head: %w", herr)
	}
	if head > 0 { // perhaps it has just been opened, by this very user
		return s.broker.log.Conversation(ctx, s.who, conversation)
	}
	return c, nil
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

// isMember reports whether a c/+/messages filter is granted.
func (s *session) isMember() bool {
	return s.holds(parley.ConversationTopic(parley.TopicMessages, s.who.Site, parley.Any).String())
}

// drop forgets a filter whose right was lost.
func (s *session) drop(filter string) {
	ctx, cancel := context.WithTimeout(context.Background(), sessionTime)
	defer cancel()
	s.unsubscribe(ctx, filter)
}

// unsubscribeAll takes an UNSUBSCRIBE: it stops the deliveries, then answers.
func (s *session) unsubscribeAll(pk packets.Packet) {
	ctx, cancel := context.WithTimeout(context.Background(), sessionTime) // what the client has asked for is done even if it leaves now
	defer cancel()
	codes := make([]byte, len(pk.Filters))
	for i, f := range pk.Filters {
		if !s.holds(f.Filter) {
			codes[i] = packets.CodeNoSubscriptionExisted.Code
			continue
		}
		s.unsubscribe(ctx, f.Filter)
	}
	s.reply(packets.Unsuback, pk.PacketID, codes)
}

// unsubscribe stops the deliveries of a filter and forgets it and the cursors
// that only it needed.
func (s *session) unsubscribe(ctx context.Context, filter string) {
	t, err := parley.ParseFilter(filter)
	if err != nil || !s.holds(filter) {
		return
	}
	s.mu.Lock()
	delete(s.filters, filter) // first: startAll looks behind itself whether it is still held
	s.mu.Unlock()
	if t.Kind == parley.TopicMessages && t.Wildcard() {
		s.leaveMembership(ctx, t)
		return
	}
	streams := s.detach(t)
	s.leave(streams)
	if !s.keeps() {
		return
	}
	s.broker.cursors.drop(s, func(stream parley.Stream) bool { return slices.Contains(streams, stream) })
	if err := s.broker.options.Sessions.DeleteSubscription(ctx, s.device, s.generation, filter, streams); err != nil {
		s.broker.options.Logger.Info("subscription not deleted", "device", s.device, "filter", filter, "error", err)
	}
}

// leaveMembership forgets all positions but those of exact filters: also those
// in conversations that the user has left, which waited for the return.
func (s *session) leaveMembership(ctx context.Context, t parley.Topic) {
	s.detachMemberships()
	keep := s.exactStreams()
	s.leaveAllBut(keep)
	if !s.keeps() {
		return
	}
	s.broker.cursors.drop(s, func(stream parley.Stream) bool { return !slices.Contains(keep, stream) })
	if err := s.broker.options.Sessions.DeleteMembership(ctx, s.device, s.generation, t.String(), keep); err != nil {
		s.broker.options.Logger.Info("subscription not deleted", "device", s.device, "filter", t.String(), "error", err)
	}
}

// exactStreams returns the streams of filters without a wildcard.
func (s *session) exactStreams() []parley.Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	var streams []parley.Stream
	for filter := range s.filters {
		if t, err := parley.ParseFilter(filter); err == nil {
			if stream, ok := t.Stream(); ok {
				streams = append(streams, stream)
			}
		}
	}
	return streams
}
