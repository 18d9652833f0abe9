package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-chat/parley"
)

const (
	queueLength = 1024 // jobs that wait for the appender, and as many for the writer
	batchSize   = 1024 // rows that one transaction of jobs holds, about
)

// work is one caller's part of a transaction. The writer calls apply, more than
// once if the transaction has to be made again; its results count only after
// the commit.
type work interface {
	apply(w *writer) error
}

type workFunc func(w *writer) error

func (f workFunc) apply(w *writer) error { return f(w) }

// job is work on its way through the writer.
type job struct {
	work      work
	size      int             // rows it writes, about
	lazy      bool            // a power cut may take it back
	abandoned <-chan struct{} // closed when the caller has given up
	done      chan error      // holds one
}

func (j *job) gone() bool { return closed(j.abandoned) }

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// do hands work to the writer and waits until it is durable. When ctx ends
// first, the outcome is open.
func (s *Store) do(ctx context.Context, size int, w work) error {
	return s.hand(ctx, &job{work: w, size: size})
}

// doLazily is do for what may be lost in a power cut, together with what was
// done lazily after it: it is committed, and survives the process, but not fsynced.
func (s *Store) doLazily(ctx context.Context, size int, w work) error {
	return s.hand(ctx, &job{work: w, size: size, lazy: true})
}

func (s *Store) hand(ctx context.Context, j *job) error {
	j.abandoned, j.done = ctx.Done(), make(chan error, 1)
	if closed(s.closing) { // select takes any ready case; closing must win
		return unavailable(errClosed)
	}
	select {
	case s.queue <- j:
	case <-s.closing:
		return unavailable(errClosed)
	case <-ctx.Done():
		return fmt.Errorf("wait for the store: %w", ctx.Err())
	}
	return await(ctx, j.done, s.stopped)
}

// await waits for the answer of the goroutine that closes stopped at its end.
func await(ctx context.Context, done <-chan error, stopped <-chan struct{}) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", parley.ErrOutcomeUnknown, ctx.Err())
	case <-stopped:
	}
	select { // the job may have been the last one, or never seen
	case err := <-done:
		return err
	default:
		return unavailable(errClosed)
	}
}

var errClosed = errors.New("the store is closed")
