package bridge

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-chat/parley"
)

// Limits of one page of a list.
const (
	DefaultListLimit = 50
	MaxListLimit     = 100
)

// Deliveries returns entries of any stream with seq > after, oldest first, at
// most limit, from memory where it can. It asks no permission: its caller has.
// They are shared and must not be changed.
func (b *Bridge) Deliveries(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Delivery, error) {
	if deliveries, ok := b.tails.read(stream, after, limit); ok {
		b.stats.tailReads.Add(1)
		return deliveries, nil
	}
	b.tails.want(stream) // first: what becomes durable while the store is read must not fall in between
	b.stats.storeReads.Add(1)
	stored, err := b.store.Read(ctx, stream, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", stream, err)
	}
	epoch := b.store.Epoch()
	deliveries := make([]parley.Delivery, len(stored))
	for i := range stored {
		deliveries[i] = stored[i].Delivery(epoch)
	}
	return deliveries, nil
}

// Head returns the newest position of any stream. It never goes back. It asks
// no permission.
func (b *Bridge) Head(ctx context.Context, stream parley.Stream) (int64, error) {
	if err := b.follower.barrier(ctx); err != nil { // what memory holds must not be behind what the store has told
		return 0, fmt.Errorf("wait for the log: %w", err)
	}
	if seq, ok := b.tails.head(stream); ok {
		return seq, nil
	}
	h, err := b.store.Head(ctx, stream)
	return h.Seq, err
}

// Conversation returns a conversation that who may read, with everything folded
// in that was acknowledged before the call; CodeNotFound otherwise, whether it
// exists or not.
func (b *Bridge) Conversation(ctx context.Context, who parley.Identity, id string) (parley.Conversation, error) {
	if err := b.follower.barrier(ctx); err != nil {
		return parley.Conversation{}, fmt.Errorf("wait for the log: %w", err)
	}
	c, err := b.folds.fresh(ctx, who.Site, id)
	if err != nil {
		return parley.Conversation{}, fmt.Errorf("read conversation: %w", err)
	}
	if err := who.MayIn(parley.ActionRead, c); err != nil {
		return parley.Conversation{}, err
	}
	return c, nil
}

// Conversations lists conversations that who may read.
func (b *Bridge) Conversations(ctx context.Context, who parley.Identity, l parley.ConversationList) ([]parley.Conversation, error) {
	if err := b.settle(ctx); err != nil {
		return nil, err
	}
	q, some := scope(who, l.Mine)
	if !some {
		return nil, nil
	}
	q.Status, q.UpdatedBefore, q.IDBefore = l.Status, l.UpdatedBefore, l.IDBefore
	q.Limit = clamp(l.Limit, DefaultListLimit, MaxListLimit)
	return b.store.Conversations(ctx, q)
}

// changeMargin is how far behind a reader's position changes are looked for
// again: server times of several nodes differ, and discovery may find too much.
const changeMargin = time.Minute

// from is the server time from which changes since a position are looked for; 0
// means all.
func from(since int64) int64 {
	if since == 0 {
		return 0
	}
	return max(since-changeMargin.Milliseconds(), 1)
}

// TakingPart returns the conversations that who takes part in and that have
// changed since a position that Observer.Followed has told, and perhaps some
// more. Since 0 returns all of them.
func (b *Bridge) TakingPart(ctx context.Context, who parley.Identity, since int64) ([]parley.Conversation, error) {
	if err := b.settle(ctx); err != nil {
		return nil, err
	}
	q, some := scope(who, true)
	if !some {
		return nil, nil
	}
	q.ChangedFrom = from(since)
	return b.store.Conversations(ctx, q)
}

// Watched returns the conversations whose state who watches with a membership
// filter and that have changed since a position: those they take part in, and
// for staff those in the queue. With since 0, closed ones are left out for staff,
// who have too many of them.
func (b *Bridge) Watched(ctx context.Context, who parley.Identity, since int64) ([]parley.Conversation, error) {
	if !who.Role.Staff() {
		return b.TakingPart(ctx, who, since)
	}
	if err := b.settle(ctx); err != nil {
		return nil, err
	}
	queued, err := b.store.Conversations(ctx, ConversationQuery{Site: who.Site, Status: parley.StatusQueued, ChangedFrom: from(since)})
	if err != nil {
		return nil, err
	}
	own := ConversationQuery{Site: who.Site, Assignee: who.User, ChangedFrom: from(since)}
	if since == 0 {
		own.Status = parley.StatusOpen
	}
	mine, err := b.store.Conversations(ctx, own)
	return append(queued, mine...), err
}

// Unwatched returns the conversations that who, of the staff, may have watched at
// a position and does not any more: somebody else has claimed or closed them.
func (b *Bridge) Unwatched(ctx context.Context, who parley.Identity, since int64) ([]parley.Conversation, error) {
	if !who.Role.Staff() || since == 0 {
		return nil, nil
	}
	if err := b.settle(ctx); err != nil {
		return nil, err
	}
	var gone []parley.Conversation
	for _, status := range []parley.Status{parley.StatusOpen, parley.StatusClosed} {
		changed, err := b.store.Conversations(ctx, ConversationQuery{
			Site: who.Site, Status: status, ChangedFrom: from(since),
			OpenedTo: since + changeMargin.Milliseconds(), // later ones were never told
		})
		if err != nil {
			return nil, err
		}
		for _, c := range changed {
			if !who.TakesPart(c) {
				gone = append(gone, c)
			}
		}
	}
	return gone, nil
}

// scope is the part of a query that keeps readers to what is theirs. It selects
// exactly what parley.Identity.MayIn lets who read; some is false where that is
// nothing.
func scope(who parley.Identity, mine bool) (q ConversationQuery, some bool) {
	q.Site = who.Site
	switch {
	case who.Role == parley.RoleVisitor:
		q.Visitor = who.User
	case !who.Role.Staff():
		return q, false
	case mine:
		q.Assignee = who.User
	case !who.Role.Supervises():
		q.AssigneeOrQueued = who.User
	}
	return q, true
}

func clamp(n, byDefault, most int) int {
	if n <= 0 {
		return byDefault
	}
	return min(n, most)
}
