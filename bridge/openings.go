package bridge

import (
	"sync"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/pace"
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

// openings limits how fast a visitor opens conversations. First messages that come
// at the same time count once for their conversation: only one of them opens it.
type openings struct {
	pace *pace.Limiter

	mu    sync.Mutex
	under map[openingKey]*opening // under way
}

type openingKey struct{ site, user, conversation string }

// opening is one conversation that is being opened.
type opening struct {
	tries  int // under way
	opened bool
}

func newOpenings(now func() time.Time, burst int) *openings {
	share := NewConversationsTime / NewConversations // however many there may be at once
	return &openings{
		pace:  pace.New(now, burst, time.Duration(burst)*share, maxOpeners),
		under: map[openingKey]*opening{},
	}
}

// take begins a try by who to open a conversation, and counts it, unless another one
// is under way. It refuses with CodeRateLimited. Who is not refused calls done.
func (o *openings) take(who parley.Identity, conversation string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := openingKey{who.Site, who.User, conversation}
	if now, ok := o.under[key]; ok {
		now.tries++
		return nil
	}
	if wait := o.pace.Take(openerKey(who)); wait > 0 {
		return parley.Limited(wait, "too many new conversations; go on in one of them, or try again later")
	}
	o.under[key] = &opening{tries: 1}
	return nil
}

// done ends a try. What no try has opened is not counted.
func (o *openings) done(who parley.Identity, conversation string, opened bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := openingKey{who.Site, who.User, conversation}
	now := o.under[key]
	now.opened = now.opened || opened
	if now.tries--; now.tries > 0 {
		return
	}
	delete(o.under, key)
	if !now.opened {
		o.pace.GiveBack(openerKey(who))
	}
}

func openerKey(who parley.Identity) string { return who.Site + "/" + who.User }
