package api

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/parley-chat/parley"
)

const maxEntriesPage = 200

// ListMessages reads entries of a conversation.
func (r rest) ListMessages(ctx context.Context, q ListMessagesRequestObject) (ListMessagesResponseObject, error) {
	who, err := checked(ctx, q.Id)
	if err != nil {
		return nil, err
	}
	limit, err := validatePage(q.Params)
	if err != nil {
		return nil, err
	}
	c, err := r.options.Log.Conversation(ctx, who, q.Id)
	if err != nil {
		return nil, fmt.Errorf("get conversation: %w", err)
	}
	entries, err := r.readPage(ctx, who, q.Id, q.Params, limit)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	state := c.State(r.options.Log.Epoch(), who)
	page := ListMessages200JSONResponse{Epoch: state.Epoch, Head: state.Head, First: state.First, Entries: make([]Entry, len(entries))}
	for i := range entries {
		page.Entries[i] = entries[i].AppendJSON(nil, state.Epoch)
		page.Head = max(page.Head, entries[i].Seq) // it may have grown since
	}
	return page, nil
}

func validatePage(p ListMessagesParams) (limit int, err error) {
	switch {
	case p.After != nil && p.Before != nil:
		return 0, parley.Errorf(parley.CodeInvalid, "after and before cannot be combined")
	case p.After != nil && *p.After < 0, p.Before != nil && *p.Before < 1:
		return 0, parley.Errorf(parley.CodeInvalid, "after is 0 or more, before is 1 or more")
	}
	return pageLimit(p.Limit, maxEntriesPage)
}

func (r rest) readPage(ctx context.Context, who parley.Identity, id string, p ListMessagesParams, limit int) ([]parley.Entry, error) {
	if p.After != nil {
		return r.options.Log.Read(ctx, who, id, *p.After, limit)
	}
	before := int64(math.MaxInt64)
	if p.Before != nil {
		before = *p.Before
	}
	return r.options.Log.ReadBefore(ctx, who, id, before, limit)
}

// PostMessage records a draft, exactly as MQTT does.
func (r rest) PostMessage(ctx context.Context, q PostMessageRequestObject) (PostMessageResponseObject, error) {
	who, err := checked(ctx, q.Id)
	if err != nil {
		return nil, err
	}
	draft, err := parley.DecodeDraft(*q.Body)
	if err != nil {
		return nil, err
	}
	answers, err := r.options.Log.Record(ctx, who, q.Id, []parley.Draft{draft})
	if err != nil {
		return nil, about(draft.ID, orUnavailable(err))
	}
	a := answers[0]
	if a.Err != nil {
		return nil, about(draft.ID, a.Err)
	}
	receipt := Receipt{Seq: a.Entry.Seq, Epoch: r.options.Log.Epoch(), At: a.Entry.At, Duplicate: a.Duplicate}
	if a.Duplicate {
		return PostMessage200JSONResponse(receipt), nil
	}
	return PostMessage201JSONResponse(receipt), nil
}

// orUnavailable names a failure of the store for what it is to the sender: not
// stored as far as we know, send it again.
func orUnavailable(err error) error {
	var refusal *parley.Error
	if errors.As(err, &refusal) {
		return err
	}
	return fmt.Errorf("%w: %w", parley.Errorf(parley.CodeUnavailable, "this could not be stored now; send it again"), err)
}

// about makes the refusal inside err name the message.
func about(id string, err error) error {
	return fmt.Errorf("record message: %w: %w", parley.ErrorOf(err).About(id), err)
}
