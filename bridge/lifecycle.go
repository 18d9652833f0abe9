package bridge

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-chat/parley"
)

// Claim makes who responsible for a conversation, and returns it as it is
// afterwards. Of several who claim at once exactly one wins; the others get
// parley.CodeConflict, and so does any other agent of the site until it is
// closed; see parley.Identity.MayIn for why they may know. Claiming one's own
// conversation again changes nothing.
func (b *Bridge) Claim(ctx context.Context, who parley.Identity, id string) (parley.Conversation, error) {
	return b.decide(ctx, who, id, func(c parley.Conversation) (*parley.Entry, error) {
		if err := who.MayIn(parley.ActionClaim, c); err != nil {
			return nil, err
		}
		if c.Status == parley.StatusOpen && c.Assignee == who.User {
			return nil, nil
		}
		body := parley.AssignedBody{Agent: who.User, Name: who.Name}
		return b.system(parley.EntryAssigned, fmt.Sprintf("assigned:%d", c.Control), body), nil
	})
}

// Finish closes a conversation, and returns it as it is afterwards. Closing a
// closed one changes nothing.
func (b *Bridge) Finish(ctx context.Context, who parley.Identity, id string) (parley.Conversation, error) {
	return b.decide(ctx, who, id, func(c parley.Conversation) (*parley.Entry, error) {
		if err := who.MayIn(parley.ActionClose, c); err != nil {
			return nil, err
		}
		if c.Status == parley.StatusClosed {
			return nil, nil
		}
		return b.system(parley.EntryClosed, fmt.Sprintf("closed:%d", c.Control), parley.ByBody{By: who.User}), nil
	})
}

// decide is the only way a conversation changes its state: read it at position
// n, decide, append on condition that nothing was decided since. The loser of a
// race reads again. A decision of nil means that there is nothing to do.
func (b *Bridge) decide(ctx context.Context, who parley.Identity, id string, decision func(parley.Conversation) (*parley.Entry, error)) (parley.Conversation, error) {
	stream := parley.MessagesOf(who.Site, id)
	current := false // whether the fold is known to hold all that was acknowledged
	for range maxDecisions {
		c, err := b.folds.fresh(ctx, who.Site, id)
		if err != nil {
			return parley.Conversation{}, fmt.Errorf("read conversation: %w", err)
		}
		e, err := decision(c)
		if (err != nil || e == nil) && current {
			return c, err
		}
		if err != nil || e == nil { // no append will find out that this was decided too early
			if err := b.folds.catchUp(ctx, stream); err != nil {
				return parley.Conversation{}, fmt.Errorf("read conversation: %w", err)
			}
			current = true
			continue
		}
		answers, err := b.store.Append(ctx, stream, []parley.Entry{*e}, c.Control)
		if err != nil {
			return parley.Conversation{}, fmt.Errorf("append %s: %w", e.Type, err)
		}
		if err := b.folds.catchUp(ctx, stream); err != nil {
			return parley.Conversation{}, fmt.Errorf("read conversation: %w", err)
		}
		current = true
		if answers[0].Err == nil && !answers[0].Duplicate {
			return b.folds.fresh(ctx, who.Site, id)
		}
		if answers[0].Err != nil && !lostRace(answers[0].Err) {
			return parley.Conversation{}, answers[0].Err
		}
		b.stats.retries.Add(1)
	}
	return parley.Conversation{}, parley.Errorf(parley.CodeUnavailable, "the conversation is changing too fast; try again")
}

// lostRace tells the two ways of being second: somebody's control entry came in
// between, or somebody took the same step from the same position.
func lostRace(err error) bool {
	return errors.Is(err, parley.ErrStale) || parley.ErrorOf(err).Code == parley.CodeConflict
}
