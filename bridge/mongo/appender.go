package mongo

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// Bounds of the appender.
const (
	batchEntries = 1000    // of one insert
	batchBytes   = 8 << 20 // of one insert, about
	heldJobs     = 8192    // jobs that have been taken; more wait in the queue
	heldBytes    = 64 << 20
	asking       = 16                     // questions that are asked at once
	asked        = 64                     // questions that are under way: the others wait for their turn
	together     = 500 * time.Millisecond // that a stream waits at most for others that ask, to be inserted with them
	standStill   = 10 * time.Second       // how long server time waits for an entry that is unresolved
)

// appender is the one goroutine that gives entries their place and inserts them.
// Everything in it belongs to that goroutine.
type appender struct {
	store *Store
	lanes *lanes

	active  []*lane // those with something to do, in the order of turns
	jobs    int     // in the lanes
	bytes   int     // of them
	at      int64   // server time of the running round
	watched int64   // the newest server time that the watcher was told

	wait    pauses    // after rounds that failed
	retryAt time.Time // of the next round
	beside  beside    // what goes on meanwhile
	places  int       // that are looked for with one query, see resolve
	closing time.Time // when closing was seen
}

func newAppender(s *Store) *appender {
	return &appender{store: s, lanes: newLanes(), watched: s.newest.Load(), beside: newBeside(s.ctx), places: placesAtOnce}
}

func (a *appender) run() {
	defer close(a.store.appended)
	defer a.abandon()
	defer a.beside.end()
	for a.collect() {
		a.round()
		a.active = slices.DeleteFunc(a.active, func(l *lane) bool {
			l.active = !l.idle()
			return !l.active
		})
		a.store.counters.queued.Store(int64(a.jobs))
		a.lanes.trim(a.active)
	}
}

// collect takes the jobs that wait, and returns once there is something to do. It
// returns false when the store is closing and nothing is left, or nothing gets on.
func (a *appender) collect() bool {
	for {
		// Those who were just answered are about to come again: let them, a round
		// trip is worth more than the moment.
		runtime.Gosched()
		a.takeWaiting()
		due := a.due()
		if due == 0 {
			return true
		}
		if closed(a.store.closing) && (due < 0 && a.beside.none() || a.store.trouble.Load() != nil || !a.closing.IsZero() && time.Since(a.closing) > a.store.patience) {
			return false
		}
		a.sleep(due)
	}
}

// sleep waits for a job, or until due; a negative due never comes.
func (a *appender) sleep(due time.Duration) {
	var timer <-chan time.Time
	if due > 0 {
		timer = time.After(due)
	}
	appends, closing := a.store.appends, a.store.closing
	if a.full() {
		appends = nil
	}
	if !a.closing.IsZero() {
		closing = nil
	}
	select {
	case j := <-appends:
		a.take(j)
	case done := <-a.beside.done:
		a.beside.take(done)
	case <-timer:
	case <-closing:
		a.closing = time.Now()
	}
}

func (a *appender) full() bool { return a.jobs >= heldJobs || a.bytes >= heldBytes }

func (a *appender) takeWaiting() {
	a.beside.takeDone()
	for !a.full() {
		select {
		case j := <-a.store.appends:
			a.take(j)
		default:
			return
		}
	}
}

func (a *appender) take(j *job) {
	l := a.lanes.of(j.stream)
	l.jobs = append(l.jobs, j)
	j.size = j.bytes()
	a.jobs, a.bytes = a.jobs+1, a.bytes+j.size
	if !l.active {
		l.active = true
		a.active = append(a.active, l)
	}
}

// due returns how long to wait for the next round: 0 for none, -1 if there is
// nothing to do before somebody comes, or something is done that goes on beside.
func (a *appender) due() time.Duration {
	now, due := time.Now(), time.Duration(-1)
	sooner := func(at time.Time) {
		if wait := max(at.Sub(now), a.retryAt.Sub(now), 0); due < 0 || wait < due {
			due = wait
		}
	}
	for _, l := range a.active {
		switch {
		case l.asks, l.putOff && a.beside.questions >= asked:
		case l.staged != nil:
			sooner(l.staged.retryAt)
		case len(l.unwatched) > 0:
			sooner(now)
		case len(l.jobs) == 0 && l.chores.waiting():
			sooner(l.chores.retryAt)
		case a.beside.questions > 0:
			sooner(l.waits)
		default:
			sooner(now)
		}
		if due == 0 {
			return 0
		}
	}
	return due
}

// round takes every stream one entry further: what can be decided is decided, what
// has a place is inserted, what is durable is told and answered. What has to be read
// first, and what deletes need, goes on beside: nobody waits for what somebody else
// has to know.
func (a *appender) round() {
	a.at = a.time()
	a.decideAll()
	crash.At(crash.JournalBegin)
	err := a.insert(a.batch())
	if told := a.tell(); err == nil {
		err = told
	}
	a.judge(err)
}

// time returns the server time of a round. It waits for entries that are
// unresolved, for a while: until they have been told, nothing newer should be,
// because devices that come back are only sent what is newer than what they saw.
func (a *appender) time() int64 {
	at := a.store.serverTime()
	oldest := at
	for _, l := range a.active {
		if l.staged != nil {
			oldest = min(oldest, l.staged.doc.At)
		}
	}
	if at-oldest > standStill.Milliseconds() {
		return at
	}
	return max(oldest, a.watched)
}

// judge notes how a round went, and when the next may be.
func (a *appender) judge(err error) {
	if err != nil {
		a.store.counters.failures.Add(1)
		a.retryAt = time.Now().Add(a.wait.next())
	} else {
		a.wait, a.retryAt = pauses{}, time.Time{}
		if slices.ContainsFunc(a.active, func(l *lane) bool { return l.staged != nil && l.staged.open }) {
			err = errNotYet
		}
	}
	switch was := a.store.trouble.Load(); {
	case err != nil:
		a.store.trouble.Store(&err)
		if was == nil {
			a.store.logger.Error("appends are unresolved", "streams", len(a.active), "error", err)
		}
	case was != nil:
		a.store.trouble.Store(nil)
		a.store.logger.Info("appends go on")
	}
}

// decideAll decides for every stream that has nothing on its way.
func (a *appender) decideAll() {
	now := time.Now()
	for _, l := range slices.Clone(a.active) {
		if l.asks {
			continue
		}
		l.putOff = false
		q, after := a.next(l, now)
		switch {
		case q == nil:
		case a.beside.questions < asked:
			a.ask(l, q, after)
		default:
			a.putOff(l)
		}
	}
}

// next takes a lane on as far as it goes by itself. What has to be asked or done before it
// goes on, and what the answer means, is returned.
func (a *appender) next(l *lane, now time.Time) (question, func(error)) {
	switch {
	case l.staged != nil || len(l.unwatched) > 0:
		a.prune(l)
	case l.chores.waiting() && !l.chores.retryAt.After(now):
		return a.clean(l)
	case a.beside.questions > 0 && l.waits.After(now):
		return nil, nil
	default:
		if q := a.advance(l); q != nil {
			return q, func(err error) { a.learned(l, err) }
		}
	}
	if l.unnoted() && !l.staged.retryAt.After(now) {
		return a.note(l)
	}
	return nil, nil
}

// learned goes on with a lane behind a question.
func (a *appender) learned(l *lane, err error) {
	if err != nil {
		a.drop(l, unavailable(err))
		return
	}
	l.jobs[0].moved()
}

// putOff lets a lane come first when there is room for its question.
func (a *appender) putOff(l *lane) {
	l.putOff = true
	i := slices.Index(a.active, l)
	copy(a.active[1:i+1], a.active[:i])
	a.active[0] = l
}

// prune drops the jobs that nobody waits for any more behind the first one, whose
// entry is on its way: a stream that is stuck must not fill the queue.
func (a *appender) prune(l *lane) {
	if len(l.jobs) < 2 {
		return
	}
	waiting := slices.DeleteFunc(l.jobs[1:], func(j *job) bool {
		gone := j.gone()
		if gone {
			j.done <- context.Canceled
			a.jobs, a.bytes = a.jobs-1, a.bytes-j.size
		}
		return gone
	})
	l.jobs = l.jobs[:1+len(waiting)]
}

// advance decides entries of a lane until one is staged, none is left, or
// something has to be asked.
func (a *appender) advance(l *lane) question {
	for l.staged == nil && len(l.unwatched) == 0 && len(l.jobs) > 0 {
		if l.jobs[0].gone() { // nobody waits for it; leaving it out costs nobody anything
			a.drop(l, context.Canceled)
			continue
		}
		if q := a.decide(l); q != nil {
			return q
		}
	}
	return nil
}

// ask lets a question be answered beside. Until then nothing else is done for the lane.
func (a *appender) ask(l *lane, q question, after func(error)) {
	l.asks = true
	began := time.Now()
	a.beside.ask(q, func(err error) {
		l.asks = false
		l.waits = time.Now().Add(min(time.Since(began), together))
		after(err)
	})
}

// answer gives the next entry of the lane's first job its answer.
func (a *appender) answer(l *lane, answer parley.Appended) question {
	j := l.jobs[0]
	j.answers[j.next] = answer
	j.next++
	j.moved()
	l.facts = facts{weighed: l.facts.weighed, stale: l.facts.stale}
	if j.next == len(j.answers) {
		a.store.counters.answered(j.answers)
		a.drop(l, nil)
	}
	return nil
}

// drop ends the lane's first job. Its answers are the caller's then.
func (a *appender) drop(l *lane, err error) {
	j := l.jobs[0]
	l.jobs = slices.Delete(l.jobs, 0, 1)
	l.facts = facts{}
	a.jobs, a.bytes = a.jobs-1, a.bytes-j.size
	j.done <- err
}

// abandon answers what was not finished when the store closed.
func (a *appender) abandon() {
	for _, l := range a.active {
		for len(l.jobs) > 0 {
			a.drop(l, unknown(errClosed))
		}
	}
}
