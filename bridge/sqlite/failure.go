package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	driver "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite/journal"
)

// failure is what an error of the database means for the store.
type failure int

const (
	failureRefused failure = iota // this statement only; the transaction can be made without it
	failureFull                   // no space; nothing was written, later it may work
	failureSuspect                // the disk failed: what is on it is not known
	failureDamaged                // the file is not a sound database
)

// classify sorts the errors that statements and commits return.
func classify(err error) failure {
	var damage *journal.Damage
	if errors.Is(err, errDamaged) || errors.As(err, &damage) {
		return failureDamaged
	}
	var e *driver.Error
	if !errors.As(err, &e) {
		return failureRefused
	}
	if e.Code() == code.SQLITE_IOERR_DATA { // a page and its checksum
		return failureDamaged
	}
	switch e.Code() & 0xff { // the low byte is the primary code
	case code.SQLITE_FULL:
		return failureFull
	case code.SQLITE_CORRUPT, code.SQLITE_NOTADB:
		return failureDamaged
	case code.SQLITE_IOERR, code.SQLITE_CANTOPEN, code.SQLITE_PROTOCOL, code.SQLITE_READONLY, code.SQLITE_MISUSE, code.SQLITE_INTERNAL:
		return failureSuspect
	}
	return failureRefused
}

// unavailable returns a temporary error: nothing was written.
func unavailable(cause error) error {
	return fmt.Errorf("%w: %w", parley.Errorf(parley.CodeUnavailable, "the store does not answer right now; try again"), cause)
}

// unknown returns a temporary error after which the writes may be there or not.
func unknown(cause error) error {
	return fmt.Errorf("%w: %w", parley.ErrOutcomeUnknown, unavailable(cause))
}

// ErrNoSpace is among the reasons of errors of a store whose disk is full.
var ErrNoSpace = errors.New("no space left for the store")

// explain adds to err what the person who runs the server has to do, where that
// is known.
func (s *Store) explain(err error) error {
	if errors.Is(err, journal.ErrFull) {
		return fmt.Errorf("%w in %s; free some, it goes on by itself: %w", ErrNoSpace, s.dir, err)
	}
	switch classify(err) {
	case failureFull:
		return fmt.Errorf("%w in %s; free some: a server that runs goes on by itself, one that could not start has to be started again: %w", ErrNoSpace, s.dir, err)
	case failureDamaged:
		return fmt.Errorf("the store in %s is damaged; stop Parley, keep a copy of the folder, check the disk and restore the newest backup: %w", s.dir, err)
	}
	return err
}

// health is what the writer, or the appender, tells others about its state.
type health struct {
	failing   atomic.Bool           // the last transaction, or batch, failed
	down      atomic.Pointer[error] // why no transaction is tried, nil if they are
	behind    atomic.Pointer[error] // why what is journaled does not get into the tables, nil if it does
	final     atomic.Bool           // down for good: the database is damaged
	busySince atomic.Int64          // Unix nanoseconds since when a transaction runs, 0 if none
}

// stuckAfter is how long a transaction may take before the store no longer
// calls itself ready.
const stuckAfter = 5 * time.Second

func (h *health) err(now time.Time) error {
	if err := h.down.Load(); err != nil {
		return unavailable(*err)
	}
	since := h.busySince.Load()
	if since == 0 {
		return nil
	}
	if took := now.Sub(time.Unix(0, since)); took > stuckAfter {
		return unavailable(fmt.Errorf("the disk has not answered for %s", took.Round(time.Second)))
	}
	return nil
}

// readFailed wraps the error of a read. One that shows damage takes the store
// down: nothing more may be built on a broken file.
func (s *Store) readFailed(ctx context.Context, action string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", action, ctx.Err())
	}
	if classify(err) == failureDamaged {
		return s.damaged(action, err)
	}
	return fmt.Errorf("%s: %w", action, unavailable(err))
}

// damaged takes the store down for good, and returns what callers get.
func (s *Store) damaged(action string, err error) error {
	err = s.explain(err)
	if s.health.down.CompareAndSwap(nil, &err) {
		s.health.final.Store(true)
		s.logger.Error("store is damaged", "action", action, "error", err)
	}
	return fmt.Errorf("%s: %w", action, unavailable(err))
}
