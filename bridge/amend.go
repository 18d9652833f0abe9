package bridge

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// amend records an edit or a delete of a message; see Record. Both are entries of
// the conversation. Whether who may is decided on the message and on what the
// conversation is then; that the message was not deleted meanwhile the store sees
// to.
func (b *Bridge) amend(ctx context.Context, who parley.Identity, conversation string, d parley.Draft) (parley.Appended, error) {
	stream := parley.MessagesOf(who.Site, conversation)
	entries := []parley.Entry{b.entry(who, d)}
	current := false // whether the fold is known to hold all that was acknowledged
	for range maxDecisions {
		c, err := b.folds.fresh(ctx, who.Site, conversation)
		if err != nil {
			return parley.Appended{}, fmt.Errorf("read conversation: %w", err)
		}
		target, refusal, err := b.refuseAmendment(ctx, who, c, stream, &entries[0])
		if err != nil {
			return parley.Appended{}, err
		}
		if refusal != nil && current {
			return one(b.refuseAll(ctx, c, entries, refusal))
		}
		if refusal == nil { // a conditional append finds out by itself that a decision was stale
			if err := b.deleting(ctx, d.Type, target); err != nil {
				return parley.Appended{}, err
			}
			crash.At(crash.Decided)
			answers, err := b.store.Append(ctx, stream, entries, c.Control)
			if err != nil {
				return parley.Appended{}, fmt.Errorf("append %s: %w", d.Type, err)
			}
			if !anyStale(answers) {
				return b.amended(ctx, answers[0])
			}
			b.stats.retries.Add(1)
		}
		if err := b.folds.catchUp(ctx, stream); err != nil {
			return parley.Appended{}, fmt.Errorf("read conversation: %w", err)
		}
		current = true
	}
	return parley.Appended{}, parley.Errorf(parley.CodeUnavailable, "the conversation is changing too fast; send again")
}

// amendNote records an edit or a delete of an internal note about c; see Note.
func (b *Bridge) amendNote(ctx context.Context, who parley.Identity, c parley.Conversation, d parley.Draft) (parley.Appended, error) {
	entries := []parley.Entry{b.entry(who, d)}
	target, refusal, err := b.refuseAmendment(ctx, who, c, c.Notes(), &entries[0])
	if err != nil {
		return parley.Appended{}, err
	}
	if refusal != nil {
		return one(b.refuseNotes(ctx, c, entries, refusal))
	}
	if err := b.deleting(ctx, d.Type, target); err != nil {
		return parley.Appended{}, err
	}
	answers, err := b.store.Append(ctx, c.Notes(), entries, parley.ExpectAny)
	if err != nil {
		return parley.Appended{}, fmt.Errorf("append %s: %w", d.Type, err)
	}
	return b.amended(ctx, answers[0])
}

// amended answers when no cache holds any more what was deleted.
func (b *Bridge) amended(ctx context.Context, a parley.Appended) (parley.Appended, error) {
	if a.Err == nil && a.Entry.Type == parley.EntryDelete {
		if err := b.follower.barrier(ctx); err != nil {
			return parley.Appended{}, fmt.Errorf("wait for the log: %w", err)
		}
		b.released()
	}
	b.count([]parley.Appended{a})
	return a, nil
}

// deleting prepares that a message is deleted, if it is.
func (b *Bridge) deleting(ctx context.Context, kind parley.EntryType, target *parley.Entry) error {
	if kind != parley.EntryDelete {
		return nil
	}
	return b.doom(ctx, target)
}

// refuseAmendment returns what e is about, and why who may not do what e says, or
// nil.
func (b *Bridge) refuseAmendment(ctx context.Context, who parley.Identity, c parley.Conversation, stream parley.Stream, e *parley.Entry) (*parley.Entry, *parley.Error, error) {
	a := parley.Amendment{Kind: e.Type, Note: stream.Kind() == parley.TopicNotes}
	if seq, ok := e.Target(); ok && c.Exists() {
		found, err := b.store.Read(ctx, stream, seq-1, 1)
		if err != nil {
			return nil, nil, fmt.Errorf("read the message: %w", err)
		}
		if len(found) > 0 {
			a.Target = &found[0]
			a.Age = max(0, b.now().Sub(time.UnixMilli(found[0].At)))
		}
	}
	if err := who.MayAmend(a, c, b.editTimes); err != nil {
		return a.Target, parley.ErrorOf(err), nil
	}
	return a.Target, nil, nil
}

func one(answers []parley.Appended, err error) (parley.Appended, error) {
	if err != nil {
		return parley.Appended{}, err
	}
	return answers[0], nil
}

// messages returns how many of drafts come before the first edit or delete, or the
// first message with attachments, most at the most.
func messages(drafts []parley.Draft, most int) int {
	n := 0
	for n < len(drafts) && n < most && !drafts[n].Type.Amends() && parley.AttachmentsOf(drafts[n].Body) == nil {
		n++
	}
	return n
}
