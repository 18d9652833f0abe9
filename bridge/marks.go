package bridge

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/parley-chat/parley"
)

// Mark records how far who has got in a conversation, and returns when that is
// durable. A mark is an entry of who's events; one that rises nothing is none,
// and answered as a duplicate. A refusal is in the answer's Err: CodeNotFound
// for a conversation that who may not read, CodeInvalid for what is beyond its
// newest entry, CodeConflict for another numbering. A non-nil error is temporary:
// marking again is always safe.
func (b *Bridge) Mark(ctx context.Context, who parley.Identity, conversation string, d parley.MarkDraft) (parley.Appended, error) {
	c, err := b.folds.fresh(ctx, who.Site, conversation)
	if err == nil && b.refuseMark(who, c, d) != nil { // the fold may be behind
		c, err = b.folds.current(ctx, who.Site, conversation)
	}
	if err != nil {
		return parley.Appended{}, fmt.Errorf("read conversation: %w", err)
	}
	if refusal := b.refuseMark(who, c, d); refusal != nil {
		b.stats.refused.Add(1)
		return parley.Appended{Err: refusal}, nil
	}
	mark := parley.Mark{User: who.User, Delivered: d.Delivered, Read: d.Read}
	had := c.Marks.Of(who.User)
	untold := c.Assignee == who.User && mark.Read > c.AgentRead // read before who became responsible
	if had.Merge(mark) == had && !untold {
		b.stats.duplicates.Add(1)
		return parley.Appended{Duplicate: true}, nil
	}
	if mark.Read > had.Read {
		if mark.Count, err = b.countAt(ctx, c, mark.Read); err != nil {
			return parley.Appended{}, err
		}
	}
	entry, body, err := b.marked(who, c, had.Merge(mark))
	if err != nil {
		return parley.Appended{}, err
	}
	answers, err := b.store.Append(ctx, parley.EventsOf(who.Site, who.User), []parley.Entry{entry}, parley.ExpectAny)
	if err != nil {
		return parley.Appended{}, fmt.Errorf("append mark: %w", err)
	}
	b.count(answers)
	if answers[0].Err != nil {
		return answers[0], nil
	}
	// The follower does it, too; by then this device may have marked again.
	_, err = b.folds.mark(ctx, who.Site, &answers[0].Entry, body)
	return answers[0], err
}

func (b *Bridge) refuseMark(who parley.Identity, c parley.Conversation, d parley.MarkDraft) *parley.Error {
	if err := who.MayIn(parley.ActionMark, c); err != nil {
		return parley.ErrorOf(err)
	}
	switch {
	case d.Epoch != "" && d.Epoch != b.store.Epoch():
		return parley.Errorf(parley.CodeConflict, "these positions are of another numbering: read the conversation from the beginning, then mark again")
	case d.Delivered > c.Head:
		return parley.Errorf(parley.CodeInvalid, "the mark is beyond the newest entry, which is %d", c.Head)
	}
	return nil
}

// countAt returns how many messages c has up to seq.
func (b *Bridge) countAt(ctx context.Context, c parley.Conversation, seq int64) (int64, error) {
	if seq == c.Head {
		return c.Count, nil
	}
	entries, err := b.store.Read(ctx, c.Stream(), seq-1, 1)
	if err != nil {
		return 0, fmt.Errorf("read marked entry: %w", err)
	}
	if len(entries) == 0 {
		return 0, parley.Errorf(parley.CodeInternal, "entry %d is not there", seq)
	}
	return entries[0].Count, nil
}

// marked makes the entry of a mark. Marking twice is marking once: its id says
// all that it does.
func (b *Bridge) marked(who parley.Identity, c parley.Conversation, m parley.Mark) (parley.Entry, parley.MarkedBody, error) {
	body := parley.MarkedBody{
		Conversation: c.ID, Delivered: m.Delivered, Read: m.Read, Count: m.Count,
		Responsible: c.Assignee == who.User,
	}
	raw, err := parley.EncodeBody(body)
	if err != nil {
		return parley.Entry{}, body, fmt.Errorf("encode mark: %w", err)
	}
	id := fmt.Sprintf("marked:%s:%d:%d", c.ID, m.Delivered, m.Read)
	if body.Responsible {
		id += ":responsible" // says more than the same mark without it
	}
	return parley.Entry{
		ID: id, Sender: who.User, Device: who.Device, Role: who.Role,
		Type: parley.EntryMarked, Body: raw, Digest: b.digest.of(parley.EntryMarked, raw),
	}, body, nil
}

// markOf returns what an entry of a user's events marks; ok is false for entries
// that mark nothing.
func markOf(e *parley.Entry) (body parley.MarkedBody, ok bool) {
	if e.Type != parley.EntryMarked {
		return body, false
	}
	err := json.Unmarshal(e.Body, &body)
	return body, err == nil && parley.ValidID(body.Conversation)
}

// mark folds a mark into its conversation. It returns the zero one if that does
// not exist.
func (f *folds) mark(ctx context.Context, site string, e *parley.Entry, body parley.MarkedBody) (parley.Conversation, error) {
	c, err := f.fresh(ctx, site, body.Conversation)
	if err != nil || !c.Exists() {
		return parley.Conversation{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	held, ok := f.get(c.Stream())
	if !ok { // evicted in between
		held = &c
		f.put(c.Stream(), held)
	}
	*held = held.Marked(e.Sender, body, e.At)
	return *held, nil
}
