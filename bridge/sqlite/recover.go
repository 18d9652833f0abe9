package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/parley-chat/parley"
)

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = time.Second
)

// doubt remembers which streams the failed transaction wrote to. Its entries
// may yet turn out to be stored.
func (w *writer) doubt() {
	if w.doubtful == nil {
		w.doubtful = map[parley.Stream]int64{}
	}
	for i := range w.fresh {
		e := &w.fresh[i]
		if _, ok := w.doubtful[e.Stream]; !ok {
			w.doubtful[e.Stream] = e.Seq - 1
		}
	}
}

// suspend closes the database, so that neither writers nor readers build on
// what the disk may not hold. A backoff of 0 means for good.
func (w *writer) suspend(cause error, backoff time.Duration) {
	s := w.store
	s.health.down.Store(&cause)
	w.retryIn(backoff)
	w.heads.clear()
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
		}
		err = s.explain(err)
		s.health.down.Store(&err)
		s.logger.Error("store is still down", "error", err)
		return
	}
	w.retryIn(0)
	s.counters.recoveries.Add(1)
	s.health.down.Store(nil)
	s.logger.Info("store is up again")
}

func (w *writer) reopen(ctx context.Context) error {
	s := w.store
	db, err := openDatabase(ctx, s.dir)
	if err != nil {
		return err
	}
	survivors, err := w.inspect(ctx, db)
	if err != nil {
		return errors.Join(err, db.close())
	}
	r, err := openReaders(ctx, s.dir)
	if err != nil {
		return errors.Join(err, db.close())
	}
	w.db, w.pages, w.doubtful = db, 0, nil
	s.readMu.Lock()
	s.readers = r
	s.readMu.Unlock()
	w.announce(survivors)
	return nil
}

// inspect makes what is in db durable and returns the entries of the doubtful
// transaction that are there: nobody has been told of them.
func (w *writer) inspect(ctx context.Context, db *database) ([]parley.Entry, error) {
	if err := db.checkpointAll(ctx); err != nil {
		return nil, err
	}
	epoch, err := db.epoch(ctx)
	if err != nil {
		return nil, err
	}
	if epoch != w.store.epoch {
		return nil, fmt.Errorf("the database has been exchanged while it was open: its epoch is %s, it was %s; restart Parley", epoch, w.store.epoch)
	}
	var survivors []parley.Entry
	for stream, head := range w.doubtful {
		rows, err := db.conn.QueryContext(ctx, readAfter, stream, head, -1)
		if err != nil {
			return nil, err
		}
		err = scanAll(rows, func(rows *sql.Rows) error {
			e := parley.Entry{Stream: stream}
			survivors = append(survivors, e)
			return scanEntry(rows, &survivors[len(survivors)-1])
		})
		if err != nil {
			return nil, err
		}
	}
	return survivors, nil
}

// close ends the writer's work: the log is copied and the files are closed.
func (w *writer) close() error {
	if w.db == nil {
		return nil
	}
	err := w.db.checkpoint()
	return errors.Join(err, w.closeFiles())
}
