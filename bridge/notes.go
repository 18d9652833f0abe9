package bridge

import (
	"bytes"
	"context"
	"fmt"

	"github.com/parley-chat/parley"
)

// Note stores internal notes of one author about a conversation, in their order,
// and returns when they are durable. It answers as Record does. Notes change
// nothing about the conversation: a closed one takes them and stays closed. They
// are not counted as its messages.
//
// Whether who may write them is decided on all that was durable before the call.
func (b *Bridge) Note(ctx context.Context, who parley.Identity, conversation string, drafts []parley.Draft) ([]parley.Appended, error) {
	c, err := b.folds.current(ctx, who.Site, conversation)
	if err != nil {
		return nil, fmt.Errorf("read conversation: %w", err)
	}
	answers := make([]parley.Appended, 0, len(drafts))
	for len(drafts) > 0 {
		n := messages(drafts, MaxAppend)
		if n == 0 {
			a, err := b.noteOne(ctx, who, c, drafts[0])
			if err != nil {
				return nil, err
			}
			answers, drafts = append(answers, a), drafts[1:]
		} else {
			part, err := b.notePart(ctx, who, c, b.entries(who, drafts[:n]))
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

// noteOne records an edit, a delete, or a note with attachments.
func (b *Bridge) noteOne(ctx context.Context, who parley.Identity, c parley.Conversation, d parley.Draft) (parley.Appended, error) {
	if d.Type.Amends() {
		return b.amendNote(ctx, who, c, d)
	}
	if err := who.MayIn(parley.ActionNote, c); err != nil {
		return one(b.refuseNotes(ctx, c, b.entries(who, []parley.Draft{d}), parley.ErrorOf(err)))
	}
	return b.recordAttached(ctx, who, c.Notes(), d, func(e parley.Entry) (parley.Appended, error) {
		return one(b.notePart(ctx, who, c, []parley.Entry{e}))
	})
}

func (b *Bridge) notePart(ctx context.Context, who parley.Identity, c parley.Conversation, entries []parley.Entry) ([]parley.Appended, error) {
	if err := who.MayIn(parley.ActionNote, c); err != nil {
		return b.refuseNotes(ctx, c, entries, parley.ErrorOf(err))
	}
	answers, err := b.store.Append(ctx, c.Notes(), entries, parley.ExpectAny)
	if err != nil {
		return nil, fmt.Errorf("append notes: %w", err)
	}
	b.count(answers)
	return answers, nil
}

// refuseNotes answers the same refusal to every draft, except that what was
// stored earlier stays stored: see refuseAll. Notes have no control entries that
// could keep a repeat from being appended, so it reads them; they are few.
func (b *Bridge) refuseNotes(ctx context.Context, c parley.Conversation, entries []parley.Entry, refusal *parley.Error) ([]parley.Appended, error) {
	answers := make([]parley.Appended, len(entries))
	for i := range answers {
		answers[i].Err = refusal.About(entries[i].ID)
	}
	for after := int64(0); c.Exists(); {
		page, err := b.store.Read(ctx, c.Notes(), after, catchUpPage)
		if err != nil {
			return nil, fmt.Errorf("look for repeats: %w", err)
		}
		for _, e := range page {
			for i := range entries {
				if e.ID == entries[i].ID && e.Sender == entries[i].Sender && bytes.Equal(e.Digest, entries[i].Digest) {
					answers[i] = parley.Appended{Entry: e, Duplicate: true}
				}
			}
			after = e.Seq
		}
		if len(page) < catchUpPage {
			break
		}
	}
	b.count(answers)
	return answers, nil
}

// The rows of notes tell which conversations have notes, whose they are, up to
// which seq, and when they last changed or changed hands. They are a projection
// like the rows of conversations and are kept with them, but under a site of
// their own that no identity can have: no list, state or search of
// conversations, which a visitor might see, can hold any trace of them.

func siteOfNotes(site string) string { return site + "/notes" }

// rowOfNotes returns the row of c's notes, which are at head since at.
func rowOfNotes(c parley.Conversation, head, at int64) parley.Conversation {
	return parley.Conversation{
		Site: siteOfNotes(c.Site), ID: c.ID, Status: c.Status, Assignee: c.Assignee,
		Head: head, UpdatedAt: max(at, c.UpdatedAt), ChangedAt: max(at, c.UpdatedAt),
	}
}

// Streams returns the streams behind who's membership filter of a kind, messages
// or notes, that have changed since a position that Observer.Followed has told,
// and perhaps some more. Since 0 returns all of them; without a head are none.
func (b *Bridge) Streams(ctx context.Context, who parley.Identity, kind parley.TopicKind, since int64) ([]parley.StreamHead, error) {
	if kind == parley.TopicNotes {
		return b.streamsOfNotes(ctx, who, since)
	}
	conversations, err := b.TakingPart(ctx, who, since)
	heads := make([]parley.StreamHead, len(conversations))
	for i, c := range conversations {
		heads[i] = parley.StreamHead{Stream: c.Stream(), Seq: c.Head}
	}
	return heads, err
}

func (b *Bridge) streamsOfNotes(ctx context.Context, who parley.Identity, since int64) ([]parley.StreamHead, error) {
	if !who.Role.Staff() {
		return nil, nil
	}
	if err := b.settle(ctx); err != nil {
		return nil, err
	}
	rows, err := b.store.Conversations(ctx, ConversationQuery{
		Site: siteOfNotes(who.Site), Assignee: who.User, ChangedFrom: from(since),
	})
	heads := make([]parley.StreamHead, len(rows))
	for i, row := range rows {
		heads[i] = parley.StreamHead{Stream: parley.NotesOf(who.Site, row.ID), Seq: row.Head}
	}
	return heads, err
}
