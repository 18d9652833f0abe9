package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// maxDecisions bounds how often a decision is taken again because the
// conversation changed under it.
const maxDecisions = 8

// Record stores the drafts of one sender in a conversation, in their order, and
// returns when they are durable. The answers are those of the first drafts, at
// least one: stored, a duplicate (with the first one's position), or refused with
// an *parley.Error in Err. Where it decides that a draft is refused it stops
// behind it, so that the refusal can be told for good before what comes next is
// stored; call it again with the rest. It is idempotent by draft id.
//
// A visitor's first message to a new conversation id opens it; a visitor's
// message to a closed one opens it again. Edits and deletes open nothing; see
// parley.Identity.MayAmend for who may. A non-nil error is temporary: some of
// the drafts may be durable, send all of them again. It is an *parley.Error with
// CodeRateLimited, with its RetryAfter, when the visitor
// opens conversations too fast.
func (b *Bridge) Record(ctx context.Context, who parley.Identity, conversation string, drafts []parley.Draft) ([]parley.Appended, error) {
	answers := make([]parley.Appended, 0, len(drafts))
	for len(drafts) > 0 {
		n := messages(drafts, MaxAppend-1) // room for the control entry in front
		if n == 0 {
			a, err := b.recordOne(ctx, who, conversation, drafts[0])
			if err != nil {
				return nil, err
			}
			answers, drafts = append(answers, a), drafts[1:]
		} else {
			part, err := b.recordPart(ctx, who, conversation, b.entries(who, drafts[:n]))
			if err != nil {
				return nil, err
			}
			answers, drafts = append(answers, part...), drafts[n:]
		}
		if answers[len(answers)-1].Err != nil {
			break
		}
	}
	return answers, nil
}

// recordOne records an edit, a delete, or a message with attachments.
func (b *Bridge) recordOne(ctx context.Context, who parley.Identity, conversation string, d parley.Draft) (parley.Appended, error) {
	if d.Type.Amends() {
		return b.amend(ctx, who, conversation, d)
	}
	return b.recordAttached(ctx, who, parley.MessagesOf(who.Site, conversation), d, func(e parley.Entry) (parley.Appended, error) {
		return one(b.recordPart(ctx, who, conversation, []parley.Entry{e}))
	})
}

func (b *Bridge) recordPart(ctx context.Context, who parley.Identity, conversation string, entries []parley.Entry) ([]parley.Appended, error) {
	stream := parley.MessagesOf(who.Site, conversation)
	current := false // whether the fold is known to hold all that was acknowledged
	for range maxDecisions {
		c, err := b.folds.fresh(ctx, who.Site, conversation)
		if err != nil {
			return nil, fmt.Errorf("read conversation: %w", err)
		}
		control, refusal := b.admit(who, conversation, c)
		if refusal != nil && current {
			return b.refuseAll(ctx, c, entries, refusal)
		}
		if refusal == nil { // a conditional append finds out by itself that a decision was stale, a refusal does not
			answers, again, err := b.appendLimited(ctx, who, stream, control, entries, c)
			if err != nil {
				return nil, err
			}
			if !again {
				b.count(answers)
				return answers, nil
			}
			b.stats.retries.Add(1)
		}
		if err := b.folds.catchUp(ctx, stream); err != nil {
			return nil, fmt.Errorf("read conversation: %w", err)
		}
		current = true
	}
	return nil, parley.Errorf(parley.CodeUnavailable, "the conversation is changing too fast; send again")
}

// admit decides whether who may write in c now, and which control entry has to
// come first.
func (b *Bridge) admit(who parley.Identity, conversation string, c parley.Conversation) (control *parley.Entry, refusal *parley.Error) {
	if !c.Exists() && who.Role == parley.RoleVisitor {
		body := parley.OpenedBody{Visitor: who.User, Name: who.Name}
		return b.system(parley.EntryOpened, "opened", body), nil
	}
	if err := who.MayIn(parley.ActionSend, c); err != nil {
		return nil, parley.ErrorOf(err)
	}
	if c.Status == parley.StatusClosed {
		id := fmt.Sprintf("reopened:%d", c.Control)
		return b.system(parley.EntryReopened, id, parley.ByBody{By: who.User}), nil
	}
	return nil, nil
}

// appendLimited is appendDecided, except that it opens no conversation for a
// visitor who does so too fast.
func (b *Bridge) appendLimited(ctx context.Context, who parley.Identity, stream parley.Stream, control *parley.Entry, entries []parley.Entry, c parley.Conversation) (answers []parley.Appended, again bool, err error) {
	if c.Exists() {
		return b.appendDecided(ctx, stream, control, entries, c)
	}
	if err := b.openings.take(who); err != nil {
		b.stats.limited.Add(1)
		return nil, false, err
	}
	answers, again, err = b.appendDecided(ctx, stream, control, entries, c)
	if err != nil || again || answers[0].Duplicate { // somebody else opened it, or nobody as far as we know
		b.openings.giveBack(who)
	}
	return answers, again, err
}

// appendDecided appends entries behind control (if any). again means that the
// decision was taken on a state that is no longer true.
func (b *Bridge) appendDecided(ctx context.Context, stream parley.Stream, control *parley.Entry, entries []parley.Entry, c parley.Conversation) (answers []parley.Appended, again bool, err error) {
	crash.At(crash.Decided)
	if control == nil {
		answers, err = b.store.Append(ctx, stream, entries, c.Control)
		if err != nil {
			return nil, false, fmt.Errorf("append: %w", err)
		}
		return answers, anyStale(answers), nil
	}
	answers = make([]parley.Appended, len(entries))
	fresh := entries
	if c.Exists() { // a repeat must not open the conversation again
		if answers, err = b.repeats(ctx, stream, entries); err != nil {
			return nil, false, err
		}
		fresh = nil
		for i, a := range answers {
			if errors.Is(a.Err, parley.ErrStale) {
				fresh = append(fresh, entries[i])
			}
		}
		if len(fresh) == 0 {
			return answers, false, nil
		}
	}
	added, err := b.store.Append(ctx, stream, append([]parley.Entry{*control}, fresh...), c.Control)
	if err != nil {
		return nil, false, fmt.Errorf("append: %w", err)
	}
	again = added[0].Err != nil || anyStale(added)
	added = added[1:]
	for i := range answers {
		if !c.Exists() || errors.Is(answers[i].Err, parley.ErrStale) {
			answers[i], added = added[0], added[1:]
		}
	}
	if c.Exists() { // what its sender does next must not be decided on the state before
		err = b.folds.catchUp(ctx, stream)
	}
	return answers, again, err
}

func anyStale(answers []parley.Appended) bool {
	return slices.ContainsFunc(answers, func(a parley.Appended) bool { return errors.Is(a.Err, parley.ErrStale) })
}

// repeats finds out which entries of a conversation that exists are there
// already: duplicates and conflicts are answered as such, everything else as
// stale. It stores nothing, because the opening is a control entry above 0.
func (b *Bridge) repeats(ctx context.Context, stream parley.Stream, entries []parley.Entry) ([]parley.Appended, error) {
	answers, err := b.store.Append(ctx, stream, entries, 0)
	if err != nil {
		return nil, fmt.Errorf("look for repeats: %w", err)
	}
	return answers, nil
}

// refuseAll answers the same refusal to every draft, except that what was
// stored earlier stays stored: a repeat of an accepted message is answered with
// its position even when its sender may no longer write. The look-up goes by the
// sender's own ids, so it tells a stranger nothing.
func (b *Bridge) refuseAll(ctx context.Context, c parley.Conversation, entries []parley.Entry, refusal *parley.Error) ([]parley.Appended, error) {
	answers := make([]parley.Appended, len(entries))
	for i := range answers {
		answers[i].Err = refusal.About(entries[i].ID)
	}
	if c.Exists() {
		found, err := b.repeats(ctx, c.Stream(), entries)
		if err != nil {
			return nil, err
		}
		for i, a := range found {
			if a.Err == nil {
				answers[i] = a
			}
		}
	}
	b.count(answers)
	return answers, nil
}

func (b *Bridge) entries(who parley.Identity, drafts []parley.Draft) []parley.Entry {
	entries := make([]parley.Entry, len(drafts))
	for i, d := range drafts {
		entries[i] = b.entry(who, d)
	}
	return entries
}

func (b *Bridge) entry(who parley.Identity, d parley.Draft) parley.Entry {
	return parley.Entry{
		ID: d.ID, Sender: who.User, Device: who.Device, Role: who.Role,
		Type: d.Type, Body: d.Body, Digest: b.digest.of(d.Type, d.Body),
	}
}

// system makes an entry of the server's own. Its id is derived from what caused
// it, so that doing it twice is doing it once.
func (b *Bridge) system(t parley.EntryType, id string, body any) *parley.Entry {
	raw, err := parley.EncodeBody(body)
	if err != nil {
		panic(fmt.Sprintf("bridge: body of %s does not marshal: %v", t, err)) // plain structs of strings
	}
	return &parley.Entry{
		ID: id, Sender: parley.SenderSystem, Role: parley.RoleSystem,
		Type: t, Body: raw, Digest: b.digest.of(t, raw),
	}
}

func (b *Bridge) count(answers []parley.Appended) {
	for _, a := range answers {
		switch {
		case a.Err != nil:
			b.stats.refused.Add(1)
		case a.Duplicate:
			b.stats.duplicates.Add(1)
		default:
			b.stats.recorded.Add(1)
		}
	}
}
