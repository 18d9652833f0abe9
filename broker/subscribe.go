package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// subscribe decides about every filter of a SUBSCRIBE, stores what was granted,
// answers, and then starts the deliveries.
func (s *session) subscribe(pk packets.Packet) {
	ctx, cancel := context.WithTimeout(s.pump.ctx, sessionTime)
	defer cancel()
	codes := make([]byte, len(pk.Filters))
	var granted []parley.Subscription
	for i, f := range pk.Filters {
		sub := parley.Subscription{Filter: f.Filter, QoS: min(f.Qos, 1)}
		if err := s.grant(ctx, sub); err != nil {
			codes[i] = subackCode(err, s.version)
			continue
		}
		codes[i] = sub.QoS
		granted = append(granted, sub)
	}
	s.reply(packets.Suback, pk.PacketID, codes)
	crash.At(crash.SubackWritten)
	if len(granted) > 0 {
		s.pump.done.Go(func() { s.startAll(granted) })
	}
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

// grant decides about one filter and stores it with the cursors it starts from.
func (s *session) grant(ctx context.Context, sub parley.Subscription) error {
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
	starts, err := s.starts(ctx, t, again)
	if err != nil {
		return err
	}
	crash.At(crash.SubscribeDecided)
	defer crash.At(crash.SubscriptionSaved)
	if s.persistent.Load() {
		if err := s.broker.options.Sessions.SaveSubscription(ctx, s.device, s.generation, sub, starts); err != nil {
			return fmt.Errorf("save subscription: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filters[sub.Filter] = sub
	for _, c := range starts {
		s.stored[c.Stream] = c
	}
	return nil
}

// starts returns the cursors that a filter needs and the device does not have.
// What is readable at the first subscription starts at its head; what is not in
// the answer became readable later and starts at its beginning.
func (s *session) starts(ctx context.Context, t parley.Topic, again bool) ([]parley.Cursor, error) {
	switch t.Kind {
	case parley.TopicMessages:
		if t.Wildcard() {
			return s.memberStarts(ctx, again)
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
	case parley.TopicState:
		if t.Wildcard() {
			return nil, nil
		}
		_, err := s.mayReadExactly(ctx, t.Conversation)
		return nil, err
	}
	return nil, parley.Errorf(parley.CodeInvalid, "nothing is delivered here yet")
}

func (s *session) memberStarts(ctx context.Context, again bool) ([]parley.Cursor, error) {
	if again {
		return nil, nil
	}
	conversations, err := s.broker.log.TakingPart(ctx, s.who)
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

func (s *session) cursor(stream parley.Stream, seq int64) parley.Cursor {
	return parley.Cursor{Stream: stream, Epoch: s.broker.log.Epoch(), Seq: seq}
}

// placed reports whether the device has a position in stream: a cursor, or an
// exact subscription that began at the first entry.
func (s *session) placed(stream parley.Stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, cursor := s.stored[stream]
	_, exact := s.filters[stream.Topic()]
	return cursor || exact
}

// isMember reports whether a c/+/messages filter is granted.
func (s *session) isMember() bool {
	return s.holds(parley.ConversationTopic(parley.TopicMessages, s.who.Site, parley.Any).String())
}

func (s *session) startOf(stream parley.Stream) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored[stream].Seq
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
	streams := s.detach(t)
	s.mu.Lock()
	for _, stream := range streams {
		delete(s.stored, stream)
	}
	s.mu.Unlock()
	if !s.persistent.Load() {
		return
	}
	s.broker.cursors.drop(s, streams)
	if err := s.broker.options.Sessions.DeleteSubscription(ctx, s.device, s.generation, filter, streams); err != nil {
		s.broker.options.Logger.Warn("subscription not deleted", "device", s.device, "filter", filter, "error", err)
	}
}
