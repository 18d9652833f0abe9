package access

import (
	"sync"
	"time"

	"github.com/parley-chat/parley"
)

// One address may make NewVisitors new visitors at once, and as often again in
// every NewVisitorsTime. An office or a mobile network has many people behind an
// address; a script has no end.
const (
	NewVisitors     = 200
	NewVisitorsTime = 10 * time.Minute
)

// maxNewcomerKeys bounds the addresses that are remembered, to about a megabyte.
const maxNewcomerKeys = 10_000

// newcomers limits how fast an address makes new visitors, in this process only.
// Of each address it keeps the moment from which the whole burst is free again,
// which every new visitor moves on by its share of the time.
type newcomers struct {
	now   func() time.Time
	burst time.Duration // how far the moment may be ahead
	share time.Duration // 0: no limit

	mu   sync.Mutex
	free map[string]time.Time
}

// newNewcomers has no limit when most is negative.
func newNewcomers(now func() time.Time, most int) *newcomers {
	n := &newcomers{now: now, free: map[string]time.Time{}}
	if most > 0 {
		n.share = NewVisitorsTime / time.Duration(most)
		n.burst = time.Duration(most) * n.share
	}
	return n
}

// take counts a new visitor, or refuses it with CodeRateLimited. An address that
// is not known is not limited.
func (n *newcomers) take(remoteIP string) error {
	key := ipKey(remoteIP)
	if n.share == 0 || key == "" {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	free, ok := n.free[key]
	if !ok || free.Before(now) {
		free = now
	}
	free = free.Add(n.share)
	if wait := free.Add(-n.burst).Sub(now); wait > 0 {
		return &tooManyNewcomers{after: wait}
	}
	if !ok && len(n.free) >= maxNewcomerKeys {
		n.makeRoom(now)
	}
	n.free[key] = free
	return nil
}

// makeRoom drops what is free, or else the one that is free first.
func (n *newcomers) makeRoom(now time.Time) {
	var first string
	for key, free := range n.free {
		if free.Before(now) {
			delete(n.free, key)
			continue
		}
		if first == "" || free.Before(n.free[first]) {
			first = key
		}
	}
	if len(n.free) >= maxNewcomerKeys {
		delete(n.free, first)
	}
}

// tooManyNewcomers is a CodeRateLimited that knows when it passes.
type tooManyNewcomers struct{ after time.Duration }

func (e *tooManyNewcomers) Error() string { return e.Unwrap().Error() }

// RetryAfter returns how long the refusal lasts.
func (e *tooManyNewcomers) RetryAfter() time.Duration { return e.after }

// Unwrap makes parley.ErrorOf find the refusal.
func (e *tooManyNewcomers) Unwrap() error {
	return parley.Errorf(parley.CodeRateLimited, "too many new visitors from this address; try again in %d seconds", int((e.after+time.Second-1)/time.Second))
}
