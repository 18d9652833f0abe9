package bridge

import (
	"sync"
	"time"

	"github.com/parley-chat/parley"
)

// A visitor who writes in a new conversation may do so NewConversations times at
// once, and as often again in every NewConversationsTime. Somebody with a
// question needs one; a script would fill the agents' queue.
const (
	NewConversations     = 20
	NewConversationsTime = time.Hour
)

// maxOpeners bounds the visitors that are remembered, to about ten megabytes.
const maxOpeners = 50_000

// openings limits how fast a visitor opens conversations, in this process only.
// Of each visitor it keeps the moment from which the whole burst is free again,
// which every opening moves on by its share of the time. An opening counts
// before it is made and is taken back if it was not, so that those in parallel
// cannot pass the limit together.
type openings struct {
	now   func() time.Time
	burst time.Duration // how far the moment may be ahead: the shares of a whole burst
	share time.Duration

	mu   sync.Mutex
	free map[string]time.Time
}

func newOpenings(now func() time.Time, burst int) *openings {
	share := NewConversationsTime / NewConversations
	return &openings{now: now, burst: time.Duration(burst) * share, share: share, free: map[string]time.Time{}}
}

// take counts an opening by who, or refuses it with CodeRateLimited.
func (o *openings) take(who parley.Identity) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	key, now := openerKey(who), o.now()
	free, ok := o.free[key]
	if !ok || free.Before(now) {
		free = now
	}
	free = free.Add(o.share)
	if wait := free.Add(-o.burst).Sub(now); wait > 0 {
		return &tooManyOpenings{after: wait}
	}
	if !ok && len(o.free) >= maxOpeners {
		o.makeRoom(now)
	}
	o.free[key] = free
	return nil
}

// giveBack undoes take: nothing was opened.
func (o *openings) giveBack(who parley.Identity) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := openerKey(who)
	if free, ok := o.free[key]; ok {
		o.free[key] = free.Add(-o.share)
	}
}

// makeRoom forgets those whose burst is free anyway, and if that does not do,
// others in arbitrary order until an eighth of the room is free. The lock is
// held.
func (o *openings) makeRoom(now time.Time) {
	for key, free := range o.free {
		if !free.After(now) {
			delete(o.free, key)
		}
	}
	for key := range o.free {
		if len(o.free) <= maxOpeners-maxOpeners/8 {
			return
		}
		delete(o.free, key)
	}
}

func openerKey(who parley.Identity) string { return who.Site + "/" + who.User }

// tooManyOpenings is a CodeRateLimited that knows when it passes.
type tooManyOpenings struct{ after time.Duration }

func (e *tooManyOpenings) Error() string { return e.Unwrap().Error() }

// RetryAfter returns how long the refusal lasts.
func (e *tooManyOpenings) RetryAfter() time.Duration { return e.after }

// Unwrap makes parley.ErrorOf find the refusal.
func (e *tooManyOpenings) Unwrap() error {
	return parley.Errorf(parley.CodeRateLimited, "too many new conversations; go on in one of them, or try again later")
}
