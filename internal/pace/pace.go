// Package pace limits how often something may happen, for each of many keys:
// a visitor, an address, a user.
package pace

import (
	"sync"
	"time"
)

// Limiter lets something happen so many times at once, and as often again in
// every period, in this process only. Of each key it keeps the moment from which
// the whole burst is free again, which every time moves on by its share of the
// period. All methods are safe for concurrent use.
type Limiter struct {
	now   func() time.Time
	burst time.Duration // how far the moment may be ahead: the shares of a whole burst
	share time.Duration // 0: no limit
	most  int           // keys that are remembered

	mu    sync.Mutex
	free  map[string]time.Time
	sweep int // keys at which to look for those that have their burst free
}

const leastSwept = 1024

// New returns a Limiter that remembers so many keys at most, and forgets first
// those that have their burst free. burst < 1 means no limit.
func New(now func() time.Time, burst int, period time.Duration, keys int) *Limiter {
	l := &Limiter{now: now, most: keys, sweep: min(keys, leastSwept), free: map[string]time.Time{}}
	if burst > 0 {
		l.share = period / time.Duration(burst)
		l.burst = time.Duration(burst) * l.share
	}
	return l
}

// Take counts once for key and returns 0, or counts nothing and returns how long
// it takes until it could. It counts before the thing is done, so that those in
// parallel cannot pass the limit together; GiveBack undoes it.
func (l *Limiter) Take(key string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.take(key, 1, false)
}

// Delay counts n times for key in any case, and returns how long to wait before
// it is done, so that the pace is kept.
func (l *Limiter) Delay(key string, n int) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.take(key, n, true)
}

// GiveBack undoes one Take.
func (l *Limiter) GiveBack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if free, ok := l.free[key]; ok {
		l.free[key] = free.Add(-l.share)
	}
}

// Len returns how many keys are remembered.
func (l *Limiter) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.free)
}

func (l *Limiter) take(key string, n int, always bool) (wait time.Duration) {
	if l.share == 0 {
		return 0
	}
	now := l.now()
	free, ok := l.free[key]
	if !ok || free.Before(now) {
		free = now
	}
	free = free.Add(time.Duration(n) * l.share)
	wait = max(free.Add(-l.burst).Sub(now), 0)
	if wait > 0 && !always {
		return wait
	}
	if !ok && len(l.free) >= l.sweep {
		l.makeRoom(now)
	}
	l.free[key] = free
	return wait
}

// makeRoom forgets those whose burst is free anyway, and if that does not do,
// others in arbitrary order until an eighth of the room is free.
func (l *Limiter) makeRoom(now time.Time) {
	for key, free := range l.free {
		if !free.After(now) {
			delete(l.free, key)
		}
	}
	if len(l.free) >= l.most {
		for key := range l.free {
			if len(l.free) <= l.most-max(l.most/8, 1) {
				break
			}
			delete(l.free, key)
		}
	}
	l.sweep = min(l.most, max(2*len(l.free), leastSwept))
}
