package sqlite

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite/journal"
	"github.com/parley-chat/parley/internal/crash"
)

// Bounds of one batch, about. A single job may be larger.
const (
	batchEntries = 1024
	batchBytes   = 1 << 20
)

// appender is the one goroutine that gives entries their place and writes the
// journal. Everything in it belongs to that goroutine.
type appender struct {
	store *Store
	log   *journal.Journal
	known *knownStreams

	jobs    []*appendJob   // of the running batch
	fresh   []parley.Entry // staged by the running batch; the watcher and the readers own the last one
	touched []*known       // streams it has staged entries for
	record  []byte
	at      int64 // server time of the running batch

	lacking int64 // bytes that the journal had no space for, 0 if it takes everything
	suspect bool  // the journal needs a new segment before anything else
	backoff time.Duration
	retryAt time.Time // when to try to begin it
}

func newAppender(s *Store) *appender {
	return &appender{store: s, log: s.journal, at: s.newest, known: newKnownStreams(), record: make([]byte, journal.Room, 64<<10)}
}

func (a *appender) run() {
	defer close(a.store.appended)
	for a.next() {
		a.commit()
		a.known.trim()
	}
}

// next fills a.jobs with what waits, at least one job. It returns false when
// the store is closing and nothing waits any more.
func (a *appender) next() bool {
	clear(a.jobs)
	a.jobs = a.jobs[:0]
	first, ok := a.first()
	if !ok {
		return false
	}
	a.waitForRoom()
	// Those who were just answered are about to come again: let them, the
	// fsync is worth more than the moment.
	runtime.Gosched()
	entries, bytes := 0, 0
	for j := first; j != nil; j = a.waiting() {
		if j.gone() { // nobody waits for it; leaving it out costs nobody anything
			j.done <- context.Canceled
			continue
		}
		a.jobs = append(a.jobs, j)
		entries, bytes = entries+len(j.answers), bytes+j.bytes()
		if entries >= batchEntries || bytes >= batchBytes {
			break
		}
	}
	a.fresh = make([]parley.Entry, 0, entries)
	return true
}

func (a *appender) first() (*appendJob, bool) {
	var retry <-chan time.Time
	for {
		if a.suspect {
			retry = time.After(time.Until(a.retryAt)) // a fixed time: jobs that come and are refused must not put it off
		}
		select {
		case j := <-a.store.appends:
			return j, true
		case <-retry:
			a.renew()
			retry = nil
		case <-a.store.closing:
			j := a.waiting()
			return j, j != nil
		}
	}
}

func (a *appender) waiting() *appendJob {
	select {
	case j := <-a.store.appends:
		return j
	default:
		return nil
	}
}

// waitForRoom is the back-pressure: while too much is pending it waits for the
// database, unless that is not working.
func (a *appender) waitForRoom() {
	s := a.store
	for s.pending.full() && !s.health.failing.Load() && s.health.down.Load() == nil {
		select {
		case <-s.pending.removed:
		case <-time.After(50 * time.Millisecond): // the database may have failed meanwhile
		}
	}
}

// commit decides the jobs, makes their entries durable, tells the watcher and
// answers.
func (a *appender) commit() {
	s := a.store
	if err := a.refusal(); err != nil {
		a.answer(err)
		return
	}
	s.intake.busySince.Store(time.Now().UnixNano())
	defer s.intake.busySince.Store(0)
	a.at = max(a.at, s.now().UnixMilli())
	if err := a.rotate(); err != nil {
		a.failed(err)
		return
	}
	if err := a.reserve(); err != nil {
		a.failed(err)
		return
	}
	probe := false
	decided := a.jobs[:0]
	for _, j := range a.jobs {
		if j.stream == "" {
			probe = probe || j.probe && s.intake.failing.Load()
		} else if err := a.decide(j); err != nil {
			j.done <- err
			continue
		}
		decided = append(decided, j)
	}
	a.jobs = decided
	if len(a.fresh) == 0 && !probe { // duplicates of what is durable, refusals, and those who asked for room
		a.answer(nil)
		return
	}
	crash.At(crash.JournalBegin)
	a.record = encodeBatch(a.record[:journal.Room], a.fresh)
	number, err := a.log.Append(a.record)
	if err != nil {
		a.failed(err)
		return
	}
	a.committed(number)
}

// refusal returns why nothing can be appended now, or nil.
func (a *appender) refusal() error {
	s := a.store
	if err := s.intake.down.Load(); err != nil {
		return unavailable(*err)
	}
	down := s.health.down.Load()
	if down != nil && s.health.final.Load() {
		return unavailable(*down)
	}
	if !s.pending.full() {
		return nil
	}
	if down != nil {
		return unavailable(*down)
	}
	return unavailable(errBehind)
}

var errBehind = errors.New("the database cannot be written, and what waits for it has reached its bound")

// stage gives an entry its place. It is in nobody's hands before the journal
// has it.
func (a *appender) stage(k *known, e *parley.Entry, hash uint64) *parley.Entry {
	a.fresh = append(a.fresh, *e)
	added := &a.fresh[len(a.fresh)-1]
	added.Stream, added.Seq, added.At, added.Count = k.stream, k.seq+1, a.at, k.count
	if e.Type.Message() {
		added.Count++
	}
	a.known.stage(k, added, hash)
	return added
}

func (a *appender) committed(number uint64) {
	s := a.store
	if a.lacking == 0 || a.log.Reserve(a.lacking) == nil { // what is small may fit where other things do not
		a.lacking = 0
		s.intake.failing.Store(false)
	}
	s.counters.committed(len(a.jobs), len(a.fresh))
	s.pending.add(batch{number: number, entries: a.fresh, bytes: len(a.record)}, a.touched)
	for _, k := range a.touched {
		if len(k.ids) > idsOfStream {
			t, _ := s.pending.tail(k.stream)
			k.shrink(t, a.known.hash)
		}
		clear(k.staged)
		k.staged, k.deletes = k.staged[:0], nil
	}
	a.touched = a.touched[:0]
	if cap(a.record) > 2*batchBytes {
		a.record = make([]byte, journal.Room, 64<<10)
	}
	if fn := s.watch.Load(); fn != nil && len(a.fresh) > 0 {
		(*fn)(a.fresh)
	}
	crash.At(crash.Watched)
	a.answer(nil)
}

func (a *appender) answer(err error) {
	for _, j := range a.jobs {
		if err == nil {
			a.store.counters.answered(j.answers)
		}
		j.done <- err
	}
}

// failed answers a batch that is not in the journal, or not surely.
func (a *appender) failed(err error) {
	s := a.store
	for _, k := range a.touched { // what was staged has no place any more
		a.known.forget(k.stream)
	}
	a.touched = a.touched[:0]
	s.intake.failing.Store(true)
	s.counters.failures.Add(1)
	if errors.Is(err, journal.ErrFull) {
		a.lacking = max(a.lacking, int64(len(a.record)), spareRoom)
		err = s.explain(err)
		s.logger.Error("append failed", "callers", len(a.jobs), "entries", len(a.fresh), "error", err)
		a.answer(unavailable(err))
		return
	}
	s.logger.Error("journal failed", "callers", len(a.jobs), "entries", len(a.fresh), "error", err)
	a.suspend(err, firstBackoff)
	a.answer(unknown(err))
}

// rotate begins a new segment, if a job asks for it.
func (a *appender) rotate() (err error) {
	for _, j := range a.jobs {
		if !j.rotate {
			continue
		}
		if j.rotated, err = a.log.Rotate(); err != nil {
			return err
		}
	}
	return nil
}

// spareRoom is how much the journal must be able to take for the store to call
// itself ready.
const spareRoom = 256 << 10

// reserve looks for that room, if a job asks for it, and answers that job where
// there is none: what else is to be appended may be small enough.
func (a *appender) reserve() error {
	probes := func(j *appendJob) bool { return j.probe }
	if !slices.ContainsFunc(a.jobs, probes) {
		return nil
	}
	err := a.log.Reserve(max(a.lacking, spareRoom))
	if !errors.Is(err, journal.ErrFull) {
		return err
	}
	a.lacking = max(a.lacking, spareRoom)
	a.store.intake.failing.Store(true)
	a.jobs = slices.DeleteFunc(a.jobs, func(j *appendJob) bool {
		if j.probe {
			j.done <- unavailable(a.store.explain(err))
		}
		return j.probe
	})
	return nil
}

// suspend stops appending until a new segment can be begun.
func (a *appender) suspend(cause error, backoff time.Duration) {
	a.store.intake.down.Store(&cause)
	a.suspect, a.backoff, a.retryAt = true, backoff, time.Now().Add(backoff)
}

// renew begins a new segment, whose beginning says that what failed is not in
// the journal.
func (a *appender) renew() {
	s := a.store
	if err := a.log.Renew(); err != nil {
		err = s.explain(err)
		a.suspend(err, min(2*a.backoff, maxBackoff))
		s.logger.Error("journal is still down", "error", err)
		return
	}
	a.suspect = false
	s.counters.recoveries.Add(1)
	s.intake.down.Store(nil)
	s.logger.Info("journal is up again")
}
