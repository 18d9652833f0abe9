package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/parley-chat/parley"
)

// Limits of a list.
const (
	defaultPage          = 50
	maxConversationsPage = 100
)

// ListConversations lists what the caller may read.
func (r rest) ListConversations(ctx context.Context, q ListConversationsRequestObject) (ListConversationsResponseObject, error) {
	who, err := identityOf(ctx)
	if err != nil {
		return nil, err
	}
	list, err := conversationList(q.Params)
	if err != nil {
		return nil, err
	}
	found, err := r.options.Log.Conversations(ctx, who, list)
	if err != nil {
		return nil, fmt.Errorf("list conversations: %w", err)
	}
	page := ListConversations200JSONResponse{Conversations: make([]State, len(found))}
	for i, c := range found {
		page.Conversations[i] = c.State(r.options.Log.Epoch(), who)
	}
	if len(found) == list.Limit {
		next := formatCursor(found[len(found)-1])
		page.NextCursor = &next
	}
	return page, nil
}

func conversationList(p ListConversationsParams) (parley.ConversationList, error) {
	list := parley.ConversationList{Status: value(p.Status), Mine: value(p.Mine)}
	switch list.Status {
	case "", parley.StatusQueued, parley.StatusOpen, parley.StatusClosed:
	default:
		return list, parley.Errorf(parley.CodeInvalid, "status is queued, open or closed")
	}
	var err error
	if list.Limit, err = pageLimit(p.Limit, maxConversationsPage); err != nil {
		return list, err
	}
	if p.Cursor != nil {
		list.UpdatedBefore, list.IDBefore, err = parseCursor(*p.Cursor)
	}
	return list, err
}

func pageLimit(limit *int, most int) (int, error) {
	if limit == nil {
		return defaultPage, nil
	}
	if *limit < 1 || *limit > most {
		return 0, parley.Errorf(parley.CodeInvalid, "limit is 1 to %d", most)
	}
	return *limit, nil
}

// A cursor names the last conversation of a page. It is opaque to clients, so
// that a later version may page by something else.
func formatCursor(last parley.Conversation) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(last.UpdatedAt, 10) + "." + last.ID))
}

func parseCursor(s string) (updatedBefore int64, idBefore string, err error) {
	plain, decodeErr := base64.RawURLEncoding.DecodeString(s)
	at, id, _ := strings.Cut(string(plain), ".")
	updatedBefore, parseErr := strconv.ParseInt(at, 10, 64)
	if decodeErr != nil || parseErr != nil || updatedBefore <= 0 || !parley.ValidID(id) {
		return 0, "", parley.Errorf(parley.CodeInvalid, "cursor is not one that a list returned")
	}
	return updatedBefore, id, nil
}

// GetConversation returns the state of a conversation.
func (r rest) GetConversation(ctx context.Context, q GetConversationRequestObject) (GetConversationResponseObject, error) {
	state, err := r.state(ctx, q.Id, r.options.Log.Conversation)
	if err != nil {
		return nil, fmt.Errorf("get conversation: %w", err)
	}
	return GetConversation200JSONResponse{state}, nil
}

// MarkConversation marks messages, exactly as MQTT does.
func (r rest) MarkConversation(ctx context.Context, q MarkConversationRequestObject) (MarkConversationResponseObject, error) {
	who, err := checked(ctx, q.Id)
	if err != nil {
		return nil, err
	}
	draft, err := parley.DecodeMark(*q.Body)
	if err != nil {
		return nil, err
	}
	a, err := r.options.Log.Mark(ctx, who, q.Id, draft)
	if err == nil {
		err = a.Err
	}
	if err != nil {
		return nil, orUnavailable(err)
	}
	return MarkConversation204Response{}, nil
}

// ClaimConversation makes the caller responsible.
func (r rest) ClaimConversation(ctx context.Context, q ClaimConversationRequestObject) (ClaimConversationResponseObject, error) {
	state, err := r.state(ctx, q.Id, r.options.Log.Claim)
	if err != nil {
		return nil, fmt.Errorf("claim conversation: %w", err)
	}
	return ClaimConversation200JSONResponse{state}, nil
}

// CloseConversation closes a conversation.
func (r rest) CloseConversation(ctx context.Context, q CloseConversationRequestObject) (CloseConversationResponseObject, error) {
	state, err := r.state(ctx, q.Id, r.options.Log.Finish)
	if err != nil {
		return nil, fmt.Errorf("close conversation: %w", err)
	}
	return CloseConversation200JSONResponse{state}, nil
}

// state does something to one conversation as the caller and returns how it is
// afterwards.
func (r rest) state(ctx context.Context, id string, do func(context.Context, parley.Identity, string) (parley.Conversation, error)) (StateJSONResponse, error) {
	who, err := checked(ctx, id)
	if err != nil {
		return StateJSONResponse{}, err
	}
	c, err := do(ctx, who, id)
	if err != nil {
		return StateJSONResponse{}, err
	}
	return StateJSONResponse(c.State(r.options.Log.Epoch(), who)), nil
}

// checked returns who calls, once the conversation's id is one that can exist.
func checked(ctx context.Context, id string) (parley.Identity, error) {
	who, err := identityOf(ctx)
	if err == nil && !parley.ValidID(id) {
		err = parley.Errorf(parley.CodeInvalid, "a conversation id is 1 to %d characters of A-Z a-z 0-9 - _", parley.MaxIDLength)
	}
	return who, err
}
