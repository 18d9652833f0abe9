package bridge

import (
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

// openings limits how fast a visitor opens conversations.
type openings struct{ *pace.Limiter }

func newOpenings(now func() time.Time, burst int) openings {
	share := NewConversationsTime / NewConversations // however many there may be at once
	return openings{pace.New(now, burst, time.Duration(burst)*share, maxOpeners)}
}

// take counts an opening by who, or refuses it with CodeRateLimited.
func (o openings) take(who parley.Identity) error {
	if wait := o.Take(openerKey(who)); wait > 0 {
		return parley.Limited(wait, "too many new conversations; go on in one of them, or try again later")
	}
	return nil
}

// giveBack undoes take: nothing was opened.
func (o openings) giveBack(who parley.Identity) { o.GiveBack(openerKey(who)) }

func openerKey(who parley.Identity) string { return who.Site + "/" + who.User }
