package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/parley-chat/parley"
)

// checkpointPages is about how many pages the write-ahead log takes before it
// is copied into the database file: 16 MiB.
const checkpointPages = 4000

// writer is the one goroutine that writes. Everything in it belongs to that
// goroutine.
type writer struct {
	store *Store
	db    *database // nil while the store is down
	heads headCache
	batch []*job
	fresh []parley.Entry // appended by the running transaction, in commit order
	at    int64          // server time of the running transaction
	pages int            // written since the last checkpoint, about

	// doubtful holds the streams of a transaction whose outcome is not known,
	// with their heads before it.
	doubtful map[parley.Stream]int64
	backoff  time.Duration
	retryAt  time.Time // when to try to come up again; zero if never
}

func newWriter(s *Store, db *database) *writer {
	return &writer{store: s, db: db}
}

func (w *writer) run() {
	defer close(w.store.stopped)
	for w.next() {
		w.commit(w.batch)
		if w.pages >= checkpointPages {
			w.checkpoint()
		}
	}
	w.store.closeErr = w.close()
}

// next fills w.batch with what waits, at least one job. It returns false when
// the store is closing and nothing waits any more.
func (w *writer) next() bool {
	clear(w.batch)
	w.batch = w.batch[:0]
	first, ok := w.first()
	if !ok {
		return false
	}
	// Those who were just answered are about to come again: let them, the
	// fsync is worth more than the moment.
	runtime.Gosched()
	size := 0
	for j := first; j != nil; j = w.waiting() {
		if j.gone() { // nobody waits for it; leaving it out costs nobody anything
			j.done <- context.Canceled
			continue
		}
		w.batch = append(w.batch, j)
		if size += j.size; size >= batchSize {
			break
		}
	}
	return true
}

// first waits for a job. While the store is down it tries to bring it up again.
func (w *writer) first() (*job, bool) {
	for {
		var retry <-chan time.Time
		if !w.retryAt.IsZero() {
			retry = time.After(time.Until(w.retryAt)) // a fixed time: jobs that come and are refused must not put it off
		}
		select {
		case j := <-w.store.queue:
			return j, true
		case <-retry:
			w.recover()
		case <-w.store.closing:
			j := w.waiting()
			return j, j != nil
		}
	}
}

func (w *writer) waiting() *job {
	select {
	case j := <-w.store.queue:
		return j
	default:
		return nil
	}
}

// commit makes one transaction of the batch, tells the watcher, then answers
// the callers. A job that the database refuses is answered and left out.
func (w *writer) commit(batch []*job) {
	s := w.store
	for len(batch) > 0 {
		if err := s.health.down.Load(); err != nil {
			answer(batch, unavailable(*err))
			return
		}
		s.health.busySince.Store(time.Now().UnixNano())
		refused, err := w.transact(batch)
		s.health.busySince.Store(0)
		if err == nil {
			w.committed(batch)
			return
		}
		kind := classify(err)
		if refused < 0 && kind == failureRefused {
			kind = failureSuspect // BEGIN and COMMIT are beyond reproach: the connection is in a state we do not know
		}
		if kind != failureRefused {
			w.failed(batch, kind, err)
			return
		}
		batch[refused].done <- fmt.Errorf("write to the store: %w", err)
		batch = append(batch[:refused], batch[refused+1:]...)
	}
}

// transact runs the batch in a transaction. When it fails, nothing of it stays,
// and refused is the index of the job whose statement failed, or -1.
func (w *writer) transact(batch []*job) (refused int, err error) {
	w.fresh = nil // the watcher owns the last one
	w.at = max(w.at, w.store.now().UnixMilli())
	if _, err := w.exec(`BEGIN IMMEDIATE`); err != nil {
		return -1, fmt.Errorf("begin: %w", err)
	}
	for i, j := range batch {
		if err := j.work.apply(w); err != nil {
			return i, w.rollback(err)
		}
	}
	if _, err := w.exec(`COMMIT`); err != nil {
		return -1, w.rollback(fmt.Errorf("commit: %w", err))
	}
	return -1, nil
}

// rollback ends the failed transaction. SQLite has often done so by itself, in
// which case ROLLBACK fails; if it fails for another reason, the next BEGIN does
// too.
func (w *writer) rollback(cause error) error {
	w.heads.clear()
	if _, err := w.exec(`ROLLBACK`); classify(err) > classify(cause) {
		return fmt.Errorf("roll back: %w; after: %w", err, cause)
	}
	return cause
}

func (w *writer) committed(batch []*job) {
	s := w.store
	s.health.failing.Store(false)
	s.counters.committed(len(batch), len(w.fresh))
	w.pages += 3 + 3*len(batch)
	for i := range w.fresh {
		w.pages += 2 + len(w.fresh[i].Body)/4096
	}
	w.announce(w.fresh)
	answer(batch, nil)
}

func (w *writer) announce(entries []parley.Entry) {
	if fn := w.store.watch.Load(); fn != nil && len(entries) > 0 {
		(*fn)(entries)
	}
}

// failed answers a batch that could not be committed, and takes the store down
// where the disk cannot be trusted any more.
func (w *writer) failed(batch []*job, kind failure, err error) {
	s := w.store
	s.health.failing.Store(true)
	s.counters.failures.Add(1)
	err = s.explain(err)
	s.logger.Error("commit failed", "callers", len(batch), "entries", len(w.fresh), "error", err)
	switch kind {
	case failureSuspect:
		w.doubt()
		w.suspend(err, firstBackoff)
		answer(batch, unknown(err))
	case failureDamaged:
		w.suspend(err, 0)
		answer(batch, unknown(err))
	default:
		answer(batch, unavailable(err))
	}
}

func (w *writer) checkpoint() {
	w.pages = 0
	err := w.db.checkpoint()
	if err == nil {
		return
	}
	w.store.counters.failures.Add(1)
	w.store.logger.Error("checkpoint failed", "error", w.store.explain(err))
	switch classify(err) {
	case failureSuspect:
		w.suspend(err, firstBackoff)
	case failureDamaged:
		w.suspend(w.store.explain(err), 0)
	}
}

func answer(batch []*job, err error) {
	for _, j := range batch {
		j.done <- err
	}
}

// exec runs a statement in the running transaction. The callers' contexts play
// no part: a transaction serves many.
func (w *writer) exec(query string, args ...any) (sql.Result, error) {
	st, err := w.db.statement(query)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(context.Background(), args...)
}

// find scans the first row of query into dest and reports whether there is one.
func (w *writer) find(query string, args []any, dest ...any) (bool, error) {
	st, err := w.db.statement(query)
	if err != nil {
		return false, err
	}
	err = st.QueryRowContext(context.Background(), args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// each calls scan for every row of query.
func (w *writer) each(query string, args []any, scan func(*sql.Rows) error) error {
	st, err := w.db.statement(query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(context.Background(), args...)
	if err != nil {
		return err
	}
	return scanAll(rows, scan)
}

func scanAll(rows *sql.Rows, scan func(*sql.Rows) error) error {
	defer func() { _ = rows.Close() }() // its error is rows.Err's
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
