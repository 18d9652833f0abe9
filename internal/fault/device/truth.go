package device

import (
	"context"
	"fmt"
	"net/http"

	"github.com/parley-chat/parley"
)

// Set sets a register by REST, and returns its new version. A refusal is an
// *parley.Error.
func (r *REST) Set(ctx context.Context, s *Session, d parley.SetDraft) (version int64, err error) {
	var answer struct {
		Seq int64 `json:"seq"`
	}
	request := map[string]any{"id": d.ID, "key": d.Key, "value": d.Value, "basedOn": d.BasedOn}
	err = r.as(ctx, s, http.MethodPost, "/v1/me/registers", request, &answer)
	return answer.Seq, err
}

// Truth is what the server itself says to s about these conversations and the
// registers, with every message. entries are those of the conversations that s may
// read.
func (r *REST) Truth(ctx context.Context, s *Session, conversations []string) (v View, entries map[string][]parley.Entry, err error) {
	v.Conversations, entries = map[string]Talk{}, map[string][]parley.Entry{}
	for _, id := range conversations {
		var state parley.State
		err := r.as(ctx, s, http.MethodGet, "/v1/conversations/"+id, nil, &state)
		if e := parley.ErrorOf(err); e != nil && e.Code == parley.CodeNotFound {
			continue
		}
		if err != nil {
			return View{}, nil, fmt.Errorf("read conversation: %w", err)
		}
		if entries[id], err = r.Entries(ctx, s, id); err != nil {
			return View{}, nil, err
		}
		texts := []string{}
		for _, e := range entries[id] {
			if e.Type == parley.EntryText {
				texts = append(texts, textOf(e))
			}
		}
		v.Conversations[id] = talkOf(state, s.User, parley.Mark{}, texts)
	}
	all, _, err := r.Registers(ctx, s)
	v.Registers = filled(all)
	return v, entries, err
}
