package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/parley-chat/parley/bridge/sqlite/journal"
)

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = time.Second
)

// suspend closes the database, so that neither writers nor readers build on
// what the disk may not hold. A backoff of 0 means for good.
func (w *writer) suspend(cause error, backoff time.Duration) {
	s := w.store
	s.health.final.Store(backoff == 0)
	s.health.down.Store(&cause)
	w.retryIn(backoff)
	clear(w.streamIDs)
	if err := w.closeFiles(); err != nil {
		s.logger.Warn("close the suspect database", "error", err)
	}
}

// retryIn sets when recover is called; 0 means never.
func (w *writer) retryIn(backoff time.Duration) {
	w.backoff, w.retryAt = backoff, time.Time{}
	if backoff > 0 {
		w.retryAt = time.Now().Add(backoff)
	}
}

// closeFiles closes readers and writer. The writer's connection is the last, so
// that it is the one which does SQLite's clean-up.
func (w *writer) closeFiles() error {
	s := w.store
	s.readMu.Lock()
	defer s.readMu.Unlock()
	var errs []error
	if s.readers != nil {
		errs = append(errs, s.readers.close())
		s.readers = nil
	}
	if w.db != nil {
		errs = append(errs, w.db.close())
		w.db = nil
	}
	return errors.Join(errs...)
}

// recover opens the database again. It succeeds only after everything that can
// be read from it has been written and fsynced anew; see DESIGN.md.
func (w *writer) recover() {
	s := w.store
	if err := w.reopen(context.Background()); err != nil {
		w.retryIn(min(2*w.backoff, maxBackoff))
		if classify(err) == failureDamaged {
			w.retryIn(0)
			s.health.final.Store(true)
		}
		err = s.explain(err)
		s.health.down.Store(&err)
		s.logger.Error("store is still down", "error", err)
		return
	}
	w.retryIn(0)
	s.counters.recoveries.Add(1)
	s.health.behind.Store(nil) // it will be tried again
	s.health.down.Store(nil)
	s.logger.Info("store is up again")
}

func (w *writer) reopen(ctx context.Context) error {
	s := w.store
	db, err := openDatabase(ctx, s.dir)
	if err != nil {
		return err
	}
	applied, err := w.inspect(ctx, db)
	if err != nil {
		return errors.Join(err, db.close())
	}
	r, err := openReaders(ctx, s.dir)
	if err != nil {
		return errors.Join(err, db.close())
	}
	w.db, w.pages, w.retryApply = db, 0, time.Time{}
	s.readMu.Lock()
	s.readers = r
	s.readMu.Unlock()
	s.pending.setApplied(applied) // perhaps the transaction that failed is there, perhaps the disk has taken some back
	w.letGo(applied)              // inspect has fsynced it
	return nil
}

// inspect makes what is in db durable and returns the newest batch of the
// journal that is there.
func (w *writer) inspect(ctx context.Context, db *database) (applied uint64, err error) {
	if err := db.checkpointAll(ctx); err != nil {
		return 0, err
	}
	epoch, err := db.epoch(ctx)
	if err != nil {
		return 0, err
	}
	if epoch != w.store.epoch {
		return 0, fmt.Errorf("the database has been exchanged while it was open: its epoch is %s, it was %s; restart Parley", epoch, w.store.epoch)
	}
	n, err := db.number(ctx, metaApplied)
	return uint64(n), err
}

// close ends the writer's work: the log is copied and the files are closed. A
// journal that holds nothing any more is deleted.
func (w *writer) close() error {
	s := w.store
	errs := []error{s.journal.Close()}
	if w.db == nil {
		return errors.Join(errs...)
	}
	empty := w.up() && !s.pending.waits() // of a damaged store nothing is deleted
	if empty {                            // with an fsync, which makes durable all that is applied
		err := w.transact(false, func() error {
			_, err := w.exec(setMeta, metaSegment, 0)
			return err
		})
		errs = append(errs, err)
		empty = err == nil
	}
	errs = append(errs, w.db.checkpoint(), w.closeFiles())
	if empty {
		errs = append(errs, journal.Forget(s.dir, math.MaxUint64))
	}
	return errors.Join(errs...)
}
