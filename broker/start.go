package broker

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// start is where a client wants its subscription to begin: behind what it has
// already, whatever the server remembers of it.
type start struct {
	epoch string
	seq   int64
}

// startProperty is the user property of a SUBSCRIBE that says so: "0", or
// "{epoch}:{seq}".
const startProperty = "after"

// startOf reads the user property. Without it the server's own positions count,
// and startOf returns nil.
func startOf(pk *packets.Packet) (*start, error) {
	for _, p := range pk.Properties.User {
		if p.Key != startProperty {
			continue
		}
		if len(pk.Filters) != 1 {
			return nil, badStart("goes with one filter")
		}
		if p.Val == "0" {
			return &start{}, nil
		}
		epoch, digits, found := strings.Cut(p.Val, ":")
		seq, err := strconv.ParseInt(digits, 10, 64)
		if !found || err != nil || seq < 0 || digits[0] == '+' || !parley.ValidID(epoch) {
			return nil, badStart(`is 0 or {epoch}:{seq}`)
		}
		return &start{epoch: epoch, seq: seq}, nil
	}
	return nil, nil
}

func badStart(what string) error {
	return parley.Errorf(parley.CodeConflict, "the user property %s %s", startProperty, what)
}

// startsFrom returns where a filter starts that says so itself. What the log does
// not have, or has under another numbering, means the first entry.
func (s *session) startsFrom(ctx context.Context, t parley.Topic, from *start) ([]parley.Cursor, error) {
	if t.Wildcard() {
		return s.startsAnew(ctx, t, from)
	}
	stream, ok := t.Stream()
	if !ok {
		return nil, badStart("goes with topics that carry entries")
	}
	if err := s.mayStill(ctx, t); err != nil {
		return nil, err
	}
	head, err := s.broker.log.Head(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	at := from.seq
	if from.epoch != s.broker.log.Epoch() || at > head {
		at = 0
	}
	return []parley.Cursor{s.cursor(stream, at)}, nil
}

// startsAnew returns the first position of all conversations behind a filter.
func (s *session) startsAnew(ctx context.Context, t parley.Topic, from *start) ([]parley.Cursor, error) {
	if !isMembership(t) || *from != (start{}) {
		return nil, badStart("is 0 for a filter of several conversations")
	}
	heads, err := s.broker.log.Streams(ctx, s.who, t.Kind, 0)
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	starts := make([]parley.Cursor, len(heads))
	for i, h := range heads {
		starts[i] = s.cursor(h.Stream, 0)
	}
	return starts, nil
}

// restart puts streams to other positions. Deliveries under way are forgotten:
// their acknowledgements move nothing.
func (s *session) restart(starts []parley.Cursor) {
	s.mu.Lock()
	s.since, s.seenSaved = 0, 0
	s.mu.Unlock()
	s.put(starts) // first: a source may be made for another filter meanwhile
	for _, c := range starts {
		if old := s.pump.take(c.Stream); old != nil {
			s.broker.hub.undeliver(old)
			s.broker.hub.deliver(s.pump.renew(old))
		}
	}
	s.broker.cursors.drop(s, func(stream parley.Stream) bool {
		for _, c := range starts {
			if c.Stream == stream {
				return true
			}
		}
		return false
	})
}
