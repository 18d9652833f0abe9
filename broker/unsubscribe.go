package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// drop forgets a filter whose right was lost.
func (s *session) drop(filter string) {
	ctx, cancel := context.WithTimeout(context.Background(), sessionTime)
	defer cancel()
	s.unsubscribe(ctx, filter)
}

// unsubscribeAll takes an UNSUBSCRIBE: it stops the deliveries, then answers.
func (s *session) unsubscribeAll(pk *packets.Packet) {
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
	if isMembership(t) {
		s.leaveMembership(ctx, t)
		return
	}
	streams := s.detach(ctx, t)
	left := func(stream parley.Stream) bool { return slices.Contains(streams, stream) }
	defer s.leave(left)
	if !s.stored() {
		return
	}
	s.broker.cursors.drop(s, left)
	if err := s.broker.options.Sessions.DeleteSubscription(ctx, s.device, s.generation, filter, streams); err != nil {
		s.broker.options.Logger.Info("subscription not deleted", "device", s.device, "filter", filter, "error", err)
	}
}

// leaveMembership forgets all positions in streams of the filter's kind but those
// of exact filters: also those in conversations that the user has left, which
// waited for the return.
func (s *session) leaveMembership(ctx context.Context, t parley.Topic) {
	s.detachMemberships(t.Kind)
	exact := s.exactStreams()
	left := func(stream parley.Stream) bool {
		return stream.Kind() == t.Kind && !slices.Contains(exact, stream)
	}
	defer s.leave(left)
	if !s.stored() {
		return
	}
	s.broker.cursors.drop(s, left)
	others, err := s.otherStreams(ctx, t.Kind)
	if err == nil {
		err = s.broker.options.Sessions.DeleteMembership(ctx, s.device, s.generation, t.String(), append(exact, others...))
	}
	if err != nil {
		s.broker.options.Logger.Info("subscription not deleted", "device", s.device, "filter", t.String(), "error", err)
	}
}

// otherStreams returns the streams behind membership filters of other kinds. What
// is not in it, of conversations that the user has left, would come again from
// the first entry after a return.
func (s *session) otherStreams(ctx context.Context, than parley.TopicKind) ([]parley.Stream, error) {
	var streams []parley.Stream
	for _, kind := range memberKinds() {
		if kind == than || !s.isMember(kind) {
			continue
		}
		streams = append(streams, s.positionsOf(kind)...)
		heads, err := s.broker.log.Streams(ctx, s.who, kind, 0)
		if err != nil {
			return nil, fmt.Errorf("list streams: %w", err)
		}
		for _, h := range heads {
			streams = append(streams, h.Stream)
		}
	}
	return streams, nil
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
