package mongo

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

const queueLength = 1024 // jobs that wait to be taken by the appender

// Append adds entries to the end of stream; see bridge.Store. The store keeps
// the entries' Body and Digest: the caller must not write to them any more. It
// gives up, with the outcome open, when nothing of it has got on for Options.Patience.
func (s *Store) Append(ctx context.Context, stream parley.Stream, entries []parley.Entry, expect int64) ([]parley.Appended, error) {
	if stream == "" {
		return nil, parley.Errorf(parley.CodeInvalid, "append without a stream")
	}
	if len(entries) < 1 || len(entries) > bridge.MaxAppend {
		return nil, parley.Errorf(parley.CodeInvalid, "append of %d entries, 1 to %d are allowed", len(entries), bridge.MaxAppend)
	}
	j := &job{
		stream: stream, expect: expect, answers: make([]parley.Appended, len(entries)),
		abandoned: make(chan struct{}), done: make(chan error, 1),
	}
	for i := range entries { // copied: a caller that gives up may use its slice again
		j.answers[i].Entry = entries[i]
		j.answers[i].Entry.Stream = stream
	}
	j.moved()
	if err := s.append(ctx, j); err != nil {
		return nil, fmt.Errorf("append to %s: %w", stream, err)
	}
	return j.answers, nil
}

// append hands j to the appender and waits for its answer.
func (s *Store) append(ctx context.Context, j *job) error {
	defer close(j.abandoned)
	if closed(s.closing) { // select takes any ready case; closing must win
		return unavailable(errClosed)
	}
	stuck := time.NewTimer(s.patience)
	defer stuck.Stop()
	select {
	case s.appends <- j:
	case <-s.closing:
		return unavailable(errClosed)
	case <-stuck.C:
		return unavailable(s.troubleOr(errQueueFull))
	case <-ctx.Done():
		return fmt.Errorf("wait for the store: %w", ctx.Err())
	}
	for {
		select {
		case err := <-j.done:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", parley.ErrOutcomeUnknown, ctx.Err())
		case <-stuck.C:
			if rest := s.patience - time.Since(time.Unix(0, j.movedAt.Load())); rest > 0 {
				stuck.Reset(rest)
				continue
			}
			return unknown(s.troubleOr(errNoAnswer))
		case <-s.appended:
			select { // the job may have been the last one, or never seen
			case err := <-j.done:
				return err
			default:
				return unknown(errClosed)
			}
		}
	}
}

var (
	errQueueFull = errors.New("too many appends wait for the database")
	errNoAnswer  = errors.New("the database has not answered in time")
)

// troubleOr returns why appends are unresolved, or err if that is not known.
func (s *Store) troubleOr(err error) error {
	if t := s.trouble.Load(); t != nil {
		return *t
	}
	return err
}

// job is one Append on its way through the appender. The caller reads answers
// only once done has told it to.
type job struct {
	stream    parley.Stream
	expect    int64
	answers   []parley.Appended // hold the entries until they are decided
	size      int               // bytes of its entries, as they came
	next      int               // the first entry without an answer
	abandoned chan struct{}     // closed when the caller has gone
	done      chan error        // holds one
	movedAt   atomic.Int64      // when the last entry got its answer, in ns

	asked bool                   // found holds all of its entries that are there
	found map[identity]*entryDoc // its entries that are there, as far as that is known
	cuts  int64                  // Store.cuts when that was read
}

// know notes an entry that is there.
func (j *job) know(d *entryDoc) {
	if j.found == nil {
		j.found = map[identity]*entryDoc{}
	}
	j.found[identity{d.Sender, d.Name}] = d
}

// forget drops what is known, where a delete or a cut may have changed it.
func (j *job) forget() { j.asked, j.found = false, nil }

func (j *job) gone() bool { return closed(j.abandoned) }

func (j *job) moved() { j.movedAt.Store(time.Now().UnixNano()) }

func (j *job) bytes() int {
	n := 0
	for i := range j.answers {
		e := &j.answers[i].Entry
		n += 256 + len(e.Body) + len(e.Digest) + len(e.ID)
	}
	return n
}
