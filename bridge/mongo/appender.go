package mongo

import (
	"context"
	"runtime"
	"slices"
	"sync"
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
	asking       = 16               // questions that are asked at once
	asked        = 64               // questions of a round: the others wait, so that what is decided gets on
	standStill   = 10 * time.Second // how long server time waits for an entry that is unresolved
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

	wait    pauses      // after rounds that failed
	retryAt time.Time   // of the next round
	blanks  []*entryDoc // durable deletes whose targets are not blanked yet
	voided  []*entryDoc // deletes that were noted and can never land
	closing time.Time   // when closing was seen
}

func newAppender(s *Store) *appender {
	return &appender{store: s, lanes: newLanes(), watched: s.newest.Load()}
}

func (a *appender) run() {
	defer close(a.store.appended)
	defer a.abandon()
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
		if closed(a.store.closing) && (due < 0 || a.store.trouble.Load() != nil || !a.closing.IsZero() && time.Since(a.closing) > a.store.patience) {
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
	case <-timer:
	case <-closing:
		a.closing = time.Now()
	}
}

func (a *appender) full() bool { return a.jobs >= heldJobs || a.bytes >= heldBytes }

func (a *appender) takeWaiting() {
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
	a.jobs, a.bytes = a.jobs+1, a.bytes+j.bytes()
	if !l.active {
		l.active = true
		a.active = append(a.active, l)
	}
}

// due returns how long to wait for the next round: 0 for none, -1 if there is
// nothing to do.
func (a *appender) due() time.Duration {
	now := time.Now()
	if wait := a.retryAt.Sub(now); wait > 0 && len(a.active)+len(a.blanks)+len(a.voided) > 0 {
		return wait
	}
	due := time.Duration(-1)
	for _, l := range a.active {
		wait := time.Duration(0)
		if l.staged != nil {
			wait = max(l.staged.retryAt.Sub(now), 0)
		}
		if wait == 0 {
			return 0
		}
		if due < 0 || wait < due {
			due = wait
		}
	}
	if len(a.blanks)+len(a.voided) > 0 {
		return 0
	}
	return due
}

// round takes every stream one entry further: what can be decided is decided, what
// has a place is inserted, what is durable is told and answered.
func (a *appender) round() {
	a.at = a.time()
	a.decideAll()
	crash.At(crash.JournalBegin)
	batch := a.batch()
	err := a.insert(batch)
	if err == nil {
		err = a.cleanUp()
	}
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
	var undecided []*lane
	for _, l := range a.active {
		if l.staged == nil && len(l.unwatched) == 0 {
			undecided = append(undecided, l)
			continue
		}
		a.prune(l)
	}
	room := asked
	for len(undecided) > 0 && a.store.ctx.Err() == nil {
		var lanes []*lane
		var questions []question
		for _, l := range undecided {
			q := a.advance(l)
			switch {
			case q != nil && room > 0:
				lanes, questions, room = append(lanes, l), append(questions, q), room-1
			case q != nil:
				a.putOff(l)
			}
		}
		for i, err := range a.ask(questions) {
			if err != nil {
				a.drop(lanes[i], unavailable(err))
			} else {
				lanes[i].jobs[0].moved()
			}
		}
		undecided = lanes
	}
}

// putOff lets a lane come first in the next round.
func (a *appender) putOff(l *lane) {
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
			a.jobs, a.bytes = a.jobs-1, a.bytes-j.bytes()
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

// ask answers questions, several at once.
func (a *appender) ask(questions []question) []error {
	errs := make([]error, len(questions))
	var group sync.WaitGroup
	slots := make(chan struct{}, asking)
	for i, q := range questions {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := a.store.limit(a.store.ctx)
			defer cancel()
			errs[i] = q(ctx)
		})
	}
	group.Wait()
	return errs
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

// drop ends the lane's first job.
func (a *appender) drop(l *lane, err error) {
	j := l.jobs[0]
	j.done <- err
	l.jobs = slices.Delete(l.jobs, 0, 1)
	l.facts = facts{}
	a.jobs, a.bytes = a.jobs-1, a.bytes-j.bytes()
}

// abandon answers what was not finished when the store closed.
func (a *appender) abandon() {
	for _, l := range a.active {
		for len(l.jobs) > 0 {
			a.drop(l, unknown(errClosed))
		}
	}
}
