package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// checkpointPages is about how many pages the write-ahead log takes before it
// is copied into the database file: 16 MiB.
const checkpointPages = 4000

// writer is the one goroutine that writes to the database: what callers hand in
// through do, and what the appender has journaled. Everything in it belongs to
// that goroutine.
type writer struct {
	store *Store
	db    *database // nil while the store is down
	batch []*job
	at    int64 // server time of the running transaction, which never falls
	now   int64 // the clock's time then, which may
	pages int   // written since the last checkpoint, about

	streamIDs map[parley.Stream]int64
	sorted    []*parley.Entry // the entries of the running apply
	args      []any           // rows queued for insertRows
	scratch   []byte

	applyAt    time.Time // when what is pending is due; zero if nothing is
	syncAt     time.Time // when what is applied is to be fsynced; zero if nothing is
	retryApply time.Time // not before that, after a failure

	backoff time.Duration
	retryAt time.Time // when to try to come up again; zero if never

	purging purging
}

func newWriter(s *Store, db *database) *writer {
	return &writer{store: s, db: db, at: s.newest, streamIDs: map[parley.Stream]int64{}, purging: purging{deletes: map[parley.Stream]int64{}}}
}

func (w *writer) run() {
	defer close(w.store.stopped)
	for w.next() {
		if len(w.batch) > 0 {
			w.commit(w.batch)
		}
		if w.due() {
			w.applyPending()
			w.applyAt = time.Time{}
		}
		if w.syncDue() {
			w.syncApplied()
		}
		if w.pages >= checkpointPages && w.up() {
			w.checkpoint()
		}
		if w.purgeDue() {
			w.purge()
		}
	}
	w.store.closeErr = w.close()
}

// next waits until there is something to do and fills w.batch with the jobs
// that wait. It returns false when the store is closing and nothing is left.
func (w *writer) next() bool {
	clear(w.batch)
	w.batch = w.batch[:0]
	first, more := w.first()
	if first == nil {
		return more
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

// first waits for a job, or for pending entries to be due: then it returns none.
// While the store is down it tries to bring it up again. more is false when the
// store is closing and nothing is left.
func (w *writer) first() (j *job, more bool) {
	for {
		if w.due() || w.syncDue() || w.purgeDue() {
			return w.waiting(), true
		}
		var retry, due, sync, purge <-chan time.Time
		if !w.retryAt.IsZero() {
			retry = time.After(time.Until(w.retryAt)) // a fixed time: jobs that come and are refused must not put it off
		}
		if !w.applyAt.IsZero() && w.up() {
			due = time.After(time.Until(w.applyAt))
		}
		if !w.syncAt.IsZero() && w.up() {
			sync = time.After(time.Until(w.syncAt))
		}
		if !w.purging.at.IsZero() && w.up() {
			purge = time.After(time.Until(w.purging.at))
		}
		select {
		case j := <-w.store.queue:
			return j, true
		case <-w.store.pending.added:
			w.schedule()
		case <-due:
		case <-sync:
		case <-purge:
		case <-retry:
			w.recover()
		case <-w.store.appended: // closing, and nothing more comes from the appender
			if j := w.waiting(); j != nil {
				return j, true
			}
			w.drain()
			return nil, false
		}
	}
}

// schedule sets when what is pending is due.
func (w *writer) schedule() {
	switch {
	case w.store.pending.unapplied() >= applyHurry || w.store.hurry.Load() > 0:
		w.applyAt = time.Now()
	case w.applyAt.IsZero():
		w.applyAt = time.Now().Add(applyEvery)
	}
	if w.applyAt.Before(w.retryApply) {
		w.applyAt = w.retryApply
	}
}

func (w *writer) due() bool {
	if w.applyAt.IsZero() && w.store.pending.waits() {
		w.schedule()
	}
	return !w.applyAt.IsZero() && w.up() && !time.Now().Before(w.applyAt)
}

// up reports whether the database can be written.
func (w *writer) up() bool { return w.db != nil && w.store.health.down.Load() == nil }

// drain applies what is pending at the end, as far as the database takes it; the
// journal keeps the rest.
func (w *writer) drain() {
	for w.up() && w.store.pending.waits() && w.applyPending() {
	}
}

// lazily reports whether a power cut may take all of batch back.
func lazily(batch []*job) bool {
	return !slices.ContainsFunc(batch, func(j *job) bool { return !j.lazy })
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
		refused := -1
		err := w.transact(lazily(batch), func() error {
			for i, j := range batch {
				if err := j.work.apply(w); err != nil {
					refused = i
					return err
				}
			}
			return nil
		})
		s.health.busySince.Store(0)
		if err == nil {
			s.health.failing.Store(false)
			s.counters.writes.Add(int64(len(batch)))
			w.pages += 3 + 3*len(batch)
			if some, _ := s.pending.unsynced(); some && !lazily(batch) {
				w.letGo(s.pending.newestApplied()) // its fsync took them along
			}
			answer(batch, nil)
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

// transact runs work in a transaction. When it fails, nothing of it stays.
func (w *writer) transact(lazy bool, work func() error) error {
	w.now = w.store.now().UnixMilli()
	w.at = max(w.at, w.now)
	if err := w.db.sync(!lazy); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if _, err := w.exec(`BEGIN IMMEDIATE`); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := work(); err != nil {
		return w.rollback(err)
	}
	if _, err := w.exec(`COMMIT`); err != nil {
		return w.rollback(fmt.Errorf("commit: %w", err))
	}
	return nil
}

// rollback ends the failed transaction. SQLite has often done so by itself, in
// which case ROLLBACK fails; if it fails for another reason, the next BEGIN does
// too.
func (w *writer) rollback(cause error) error {
	clear(w.streamIDs)
	w.args = w.args[:0]
	if _, err := w.exec(`ROLLBACK`); classify(err) > classify(cause) {
		return fmt.Errorf("roll back: %w; after: %w", err, cause)
	}
	return cause
}

// failed answers a batch that could not be committed, and takes the store down
// where the disk cannot be trusted any more.
func (w *writer) failed(batch []*job, kind failure, err error) {
	s := w.store
	s.health.failing.Store(true)
	s.counters.failures.Add(1)
	err = s.explain(err)
	s.logger.Error("commit failed", "callers", len(batch), "error", err)
	switch kind {
	case failureSuspect:
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
	if some, _ := w.store.pending.unsynced(); some {
		if w.syncApplied(); !w.up() {
			return
		}
	}
	crash.At(crash.Checkpoint)
	if err := w.db.checkpoint(); err != nil {
		w.checkpointFailed(err)
	}
}

func (w *writer) checkpointFailed(err error) {
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
