package device

import (
	"context"
	"fmt"
	"net/http"

	"github.com/parley-chat/parley"
)

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
		v.Conversations[id] = talkOf(state, s.User, parley.Mark{}, folded(entries[id]).texts())
	}
	all, _, err := r.Registers(ctx, s)
	v.Registers = filled(all)
	return v, entries, err
}

// LastText is what lists show of a conversation with these entries.
func LastText(entries []parley.Entry) string { return folded(entries).newest() }

func folded(entries []parley.Entry) *fold {
	f := &fold{}
	for _, e := range entries {
		f.apply(e)
	}
	return f
}
