package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/parley-chat/parley"
)

// positions are where a device is in its streams, as far as its connection knows:
// what it was not told it looks up when it needs it, so that a device that comes
// back costs what has changed, not what exists. Guarded by the session's lock.
type positions map[parley.Stream]int64

// position returns where the device is in stream; 0 if it has no position yet.
// It reads the store, but for what it knows.
func (s *session) position(ctx context.Context, stream parley.Stream) (int64, error) {
	if err := s.learn(ctx, []parley.Stream{stream}); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.positions[stream], nil
}

// learn reads the positions in streams that are not known yet.
func (s *session) learn(ctx context.Context, streams []parley.Stream) error {
	for s.stored() {
		if done, err := s.learnOnce(ctx, streams); done || err != nil {
			return err
		}
	}
	return nil
}

// learnOnce reports false if the device has left streams meanwhile: what was read
// may be a position that it has given up.
func (s *session) learnOnce(ctx context.Context, streams []parley.Stream) (done bool, err error) {
	s.mu.Lock()
	leavings := s.leavings
	unknown := slices.DeleteFunc(slices.Clone(streams), func(stream parley.Stream) bool {
		_, known := s.positions[stream]
		return known
	})
	s.mu.Unlock()
	if len(unknown) == 0 {
		return true, nil
	}
	cursors, err := s.broker.options.Sessions.Cursors(ctx, s.device, unknown)
	if err != nil {
		return false, fmt.Errorf("read cursors: %w", err)
	}
	epoch := s.broker.log.Epoch()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leavings != leavings {
		return false, nil
	}
	for _, c := range cursors {
		if c.Epoch != epoch {
			c.Seq = 0 // another numbering: from the first entry
		}
		if _, known := s.positions[c.Stream]; !known {
			s.positions[c.Stream] = c.Seq
		}
	}
	return true, nil
}

// stored reports whether the store holds anything of the device: not of one that
// came anew and will not come back.
func (s *session) stored() bool { return s.present || s.keeps() }

// placed reports whether the device has a position in stream, or holds its own
// topic, which has placed it.
func (s *session) placed(stream parley.Stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.positions[stream]
	_, exact := s.filters[stream.Topic()]
	return known || exact
}

// put notes positions that the device has been given.
func (s *session) put(cursors []parley.Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range cursors {
		s.positions[c.Stream] = c.Seq
	}
}

// leave forgets the positions in all streams that left tells of, after the store
// has.
func (s *session) leave(left func(parley.Stream) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leavings++
	maps.DeleteFunc(s.positions, func(stream parley.Stream, _ int64) bool { return left(stream) })
}

// positionsOf returns the streams of a kind that the device is known to have a
// position in.
func (s *session) positionsOf(kind parley.TopicKind) []parley.Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Collect(maps.Keys(s.positions)), func(stream parley.Stream) bool { return stream.Kind() != kind })
}

func (s *session) cursor(stream parley.Stream, seq int64) parley.Cursor {
	return parley.Cursor{Stream: stream, Epoch: s.broker.log.Epoch(), Seq: seq}
}
