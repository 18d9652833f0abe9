package sqlite

import (
	"context"
	"fmt"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// Append adds entries to the end of stream; see bridge.Store. The store keeps
// the entries' Body and Digest: the caller must not write to them any more.
func (s *Store) Append(ctx context.Context, stream parley.Stream, entries []parley.Entry, expect int64) ([]parley.Appended, error) {
	if stream == "" {
		return nil, parley.Errorf(parley.CodeInvalid, "append without a stream")
	}
	if len(entries) < 1 || len(entries) > bridge.MaxAppend {
		return nil, parley.Errorf(parley.CodeInvalid, "append of %d entries, 1 to %d are allowed", len(entries), bridge.MaxAppend)
	}
	j := &appendJob{
		stream: stream, expect: expect, answers: make([]parley.Appended, len(entries)),
		abandoned: ctx.Done(), done: make(chan error, 1),
	}
	for i := range entries { // copied: a caller that gives up may use its slice again
		j.answers[i].Entry = entries[i]
	}
	if err := s.append(ctx, j); err != nil {
		return nil, fmt.Errorf("append to %s: %w", stream, err)
	}
	return j.answers, nil
}

// append hands j to the appender and waits for its answer.
func (s *Store) append(ctx context.Context, j *appendJob) error {
	if closed(s.closing) { // select takes any ready case; closing must win
		return unavailable(errClosed)
	}
	select {
	case s.appends <- j:
	case <-s.closing:
		return unavailable(errClosed)
	case <-ctx.Done():
		return fmt.Errorf("wait for the store: %w", ctx.Err())
	}
	return await(ctx, j.done, s.appended)
}

// appendJob is one Append on its way through the appender. A job without
// answers asks whether the journal has room, or for a new segment.
type appendJob struct {
	stream    parley.Stream
	expect    int64
	answers   []parley.Appended // hold the entries until they are decided
	abandoned <-chan struct{}   // closed when the caller has given up
	done      chan error        // holds one

	probe   bool
	rotate  bool
	rotated uint64 // newest batch before the new segment
}

func (j *appendJob) gone() bool { return closed(j.abandoned) }

// bytes returns about how much of the journal the job takes.
func (j *appendJob) bytes() int {
	n := 0
	for i := range j.answers {
		n += entrySize(&j.answers[i].Entry)
	}
	return n
}
