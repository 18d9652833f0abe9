package demo

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
)

const (
	// patience is how long a device that is online, and makes no progress, may
	// lack messages before they count as lost.
	patience = 15 * time.Second
	// silence is after how long a device's last word is old.
	silence = 5 * time.Second
	// loading is how long a device has after the page was loaded before the others
	// are counted without it.
	loading   = 10 * time.Second
	readEvery = time.Second            // at least
	readPause = 150 * time.Millisecond // at most so often
	readLimit = 10 * time.Second
)

// referee reads the log as an agent would, and compares it with the journal.
type referee struct {
	journal  *journal
	rest     *device.REST
	sessions []*device.Session
	changed  func()
	plugged  func(deviceName) bool // whether the device's cable is in

	// Touched by run only.
	behind  map[deviceName]behindSince
	last    evidence  // of the last verdict for which the log could be read
	settled bool      // whether the score of last.run is
	unread  time.Time // when the log last could not be read

	mu  sync.Mutex
	now Score
}

// behindSince tells since when a device shows no more than it does.
type behindSince struct {
	shown int
	since time.Time
}

func (r *referee) score() Score {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// run judges whenever there is something new, until ctx ends.
func (r *referee) run(ctx context.Context) {
	r.behind = map[deviceName]behindSince{}
	for {
		changed := r.journal.news.wait()
		started := time.Now()
		r.round(ctx)
		// Reading a long log takes its time: leave the server twice as much.
		if !pause(ctx, max(readPause, 2*time.Since(started)), nil) || !pause(ctx, readEvery, changed) {
			return
		}
	}
}

// round comes to a new verdict. While the log cannot be read the last one
// stands.
func (r *referee) round(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	e := evidence{snapshot: r.journal.snapshot(), overdue: map[deviceName]bool{}}
	for _, conversation := range e.conversations() {
		if !e.begun(conversation) {
			e.log = append(e.log, checker.Stream{Conversation: conversation})
			continue
		}
		entries, err := r.read(ctx, conversation)
		if err != nil {
			r.whileUnread(e.snapshot)
			return
		}
		e.log = append(e.log, checker.Stream{Conversation: conversation, Entries: entries})
	}
	verdict := judge(e)
	if r.findOverdue(e, verdict); len(e.overdue) > 0 {
		verdict = judge(e)
	}
	r.settled = r.settled && r.last.run == e.run || r.allTold(e)
	r.last = e
	r.set(verdict)
}

// allTold reports whether the devices have opened what they showed before the
// page was loaded, as far as they can: no score of theirs means anything earlier.
func (r *referee) allTold(e evidence) bool {
	if e.run == "" {
		return false
	}
	if time.Since(e.began) > loading && time.Since(r.unread) > loading {
		return true
	}
	for _, name := range deviceNames() {
		d, told := e.devices[name]
		if r.plugged(name) && !(told && e.opened(d)) {
			return false
		}
	}
	return true
}

// opened reports whether a device shows something wherever there is something.
func (e *evidence) opened(d deviceState) bool {
	return !slices.ContainsFunc(d.views, func(v view) bool {
		return len(v.Rows) == 0 && slices.ContainsFunc(e.log, func(s checker.Stream) bool {
			return s.Conversation == v.Conversation && countMessages(s) > 0
		})
	})
}

func (r *referee) set(verdict Score) {
	r.mu.Lock()
	verdict.Settled = r.settled
	r.now = verdict
	r.mu.Unlock()
	r.changed()
}

// whileUnread counts what has been sent since the log could last be read. What
// else the devices have told since then waits until the log can confirm it.
func (r *referee) whileUnread(s snapshot) {
	if s.run != r.last.run {
		r.settled, r.last = false, evidence{snapshot: snapshot{run: s.run, began: s.began}}
	}
	r.unread = time.Now()
	verdict := judge(r.last.sentSince(s))
	for name, d := range s.devices {
		score := verdict.Devices[name]
		score.Told, score.Online = true, d.online
		verdict.Devices[name] = score
	}
	r.set(verdict)
}

// sentSince is the evidence with what has been sent since, also in
// conversations that are as new. The others need their log to be compared with.
func (e evidence) sentSince(s snapshot) evidence {
	e.log, e.senders = slices.Clip(e.log), slices.Clip(e.senders)
	for _, conversation := range s.conversations() {
		known := slices.ContainsFunc(e.log, func(known checker.Stream) bool { return known.Conversation == conversation })
		if !known && !s.begun(conversation) {
			e.log = append(e.log, checker.Stream{Conversation: conversation})
		}
	}
	for _, rec := range s.senders[len(e.senders):] {
		if rec.Event == checker.Sent {
			e.senders = append(e.senders, rec)
		}
	}
	return e
}

// read returns a conversation's log as the first agent who may see it. One that
// does not exist yet is empty.
func (r *referee) read(ctx context.Context, conversation string) ([]parley.Entry, error) {
	for _, session := range r.sessions {
		entries, err := r.rest.Entries(ctx, session, conversation)
		var refused *parley.Error
		if errors.As(err, &refused) && refused.Code == parley.CodeNotFound {
			continue
		}
		return entries, err
	}
	return nil, nil
}

// findOverdue adds the devices to e that have had their time.
func (r *referee) findOverdue(e evidence, verdict Score) {
	now := time.Now()
	for _, name := range deviceNames() {
		d, score := e.devices[name], verdict.Devices[name]
		last, known := r.behind[name]
		excused := score.Behind == 0 || !d.online || !r.plugged(name) || now.Sub(d.told) > silence
		if excused || !known || last.shown != score.Shown {
			r.behind[name] = behindSince{score.Shown, now}
			continue
		}
		if now.Sub(last.since) > patience {
			e.overdue[name] = true
		}
	}
}
