package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

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
	if err := s.hold(ctx, save); err != nil {
		return err
	}
	if t.Kind == parley.TopicSignals {
		s.attachSignals(t) // before SUBACK: nothing that comes after it is missed, and nothing is stored
	}
	return nil
}

// hold makes a granted filter one of the session's.
func (s *session) hold(ctx context.Context, save parley.SubscriptionSave) error {
	if s.stored() {
		if err := s.broker.options.Sessions.SaveSubscription(ctx, s.device, s.generation, save); err != nil {
			return fmt.Errorf("save subscription: %w", err)
		}
	}
	if save.Reset {
		s.restart(save.Starts)
	} else if !s.stored() {
		s.put(save.Starts)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, again := s.filters[save.Filter]
	s.filters[save.Filter] = save.Subscription
	s.since = max(s.since, save.Seen)
	if t, err := parley.ParseFilter(save.Filter); again && err == nil {
		s.pump.requalify(t, save.QoS)
	}
	return nil
}

// starts returns where a new filter starts. What is readable now starts at its
// head, unless the device has a position already; what is not in the answer
// becomes readable later and starts at its beginning.
func (s *session) starts(ctx context.Context, t parley.Topic) ([]parley.Cursor, error) {
	if isMembership(t) {
		return s.memberStarts(ctx, t.Kind)
	}
	stream, ok := t.Stream()
	if !ok {
		return nil, s.mayStill(ctx, t)
	}
	head, own, err := s.readable(ctx, t)
	if err != nil || own && s.isMember(t.Kind) {
		return nil, err // a membership filter has placed it, or leaves it at its beginning
	}
	if s.placed(stream) {
		return nil, nil
	}
	return []parley.Cursor{s.cursor(stream, head)}, nil
}

// mayStill reports whether the right to a filter is there now, beyond what
// parley.Identity.May tells.
func (s *session) mayStill(ctx context.Context, t parley.Topic) error {
	switch t.Kind {
	case parley.TopicErrors, parley.TopicEvents, parley.TopicPresence:
		return nil
	case parley.TopicMessages, parley.TopicNotes, parley.TopicState, parley.TopicSignals:
		if t.Wildcard() {
			return nil
		}
		_, err := s.mayFollow(ctx, t)
		return err
	}
	return errNothingHere()
}

// readable returns the head of a stream that the user may read by its own topic,
// and whether it is in a conversation that the user takes part in.
func (s *session) readable(ctx context.Context, t parley.Topic) (head int64, own bool, err error) {
	if t.Kind == parley.TopicMessages || t.Kind == parley.TopicNotes {
		c, err := s.mayFollow(ctx, t)
		own = s.who.TakesPart(c)
		if err != nil || t.Kind == parley.TopicMessages {
			return c.Head, own, err
		}
	}
	stream, _ := t.Stream()
	if head, err = s.broker.log.Head(ctx, stream); err != nil {
		return 0, false, fmt.Errorf("read head: %w", err)
	}
	return head, own, nil
}

// mayFollow returns the conversation of a topic that the user may follow now.
func (s *session) mayFollow(ctx context.Context, t parley.Topic) (parley.Conversation, error) {
	c, err := s.mayReadExactly(ctx, t.Conversation)
	if err == nil && t.Kind == parley.TopicNotes {
		err = s.who.MayIn(parley.ActionNote, c)
	}
	return c, err
}

func (s *session) memberStarts(ctx context.Context, kind parley.TopicKind) ([]parley.Cursor, error) {
	heads, err := s.broker.log.Streams(ctx, s.who, kind, 0)
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	var starts []parley.Cursor
	for _, h := range heads {
		if !s.placed(h.Stream) {
			starts = append(starts, s.cursor(h.Stream, h.Seq))
		}
	}
	return starts, nil
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
