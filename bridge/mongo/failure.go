package mongo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/parley-chat/parley"
)

// unavailable returns a temporary error: nothing was written.
func unavailable(cause error) error {
	return fmt.Errorf("%w: %w", parley.Errorf(parley.CodeUnavailable, "the store does not answer right now; try again"), cause)
}

// unknown returns a temporary error after which the writes may be there or not.
func unknown(cause error) error {
	return fmt.Errorf("%w: %w", parley.ErrOutcomeUnknown, unavailable(cause))
}

const codeDuplicate = 11000

// duplicate reports whether code says that a unique index has the key already.
func duplicate(code int) bool {
	return code == codeDuplicate || code == 11001 || code == 12582
}

// passing reports whether a server's error code tells of its state at the moment,
// not of the command: elections, shutdowns, time limits, write concerns that were
// not reached, conflicts.
func passing(code int) bool {
	return slices.Contains([]int{
		6, 7, 24, 43, 46, 50, 63, 64, 79, 89, 91, 100, 112, 133, 134, 150, 175, 189, 202, 246, 262, 290, 317, 462,
		9001, 10058, 10107, 11600, 11601, 11602, 13388, 13435, 13436, 16500,
	}, code)
}

// again reports whether a command that does no harm when it is made twice should
// be: the server or the way to it had a fault that may pass.
func again(err error) bool {
	if err == nil || errors.Is(err, errDamaged) {
		return false
	}
	var refusal *parley.Error
	if errors.As(err, &refusal) {
		return refusal.Code.Retry()
	}
	var server driver.ServerError
	if errors.As(err, &server) {
		return server.HasErrorLabel("NetworkError") || slices.ContainsFunc(server.ErrorCodes(), passing)
	}
	return true // of the network, or of finding a server
}

// retry runs do until it succeeds, fails for good, or patience or ctx ends. do is
// made with the time limit of one attempt, and does no harm when it is made twice.
func (s *Store) retry(ctx context.Context, action string, do func(ctx context.Context) error) error {
	if closed(s.closing) {
		return unavailable(errClosed)
	}
	patient, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	wait := pauses{}
	for {
		one, done := s.limit(patient)
		err := do(one)
		done()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", action, ctx.Err())
		}
		if !again(err) {
			return fmt.Errorf("%s: %w", action, err)
		}
		s.counters.failures.Add(1)
		select {
		case <-time.After(wait.next()):
		case <-s.closing:
			return fmt.Errorf("%s: %w", action, unavailable(errClosed))
		case <-patient.Done():
			return fmt.Errorf("%s: %w", action, unknown(err))
		}
	}
}

// pauses are the waits between attempts: 50 ms, doubling up to a second, each with
// jitter, so that many do not come back at once.
type pauses struct{ last time.Duration }

func (p *pauses) next() time.Duration {
	p.last = min(max(2*p.last, 50*time.Millisecond), time.Second)
	return p.last/2 + rand.N(p.last/2)
}

// errDamaged marks what must not be: a hole in a stream.
var errDamaged = errors.New("the store is damaged")
