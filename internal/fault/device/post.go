package device

import (
	"context"
	"net/http"

	"github.com/parley-chat/parley"
)

// Post records a draft by REST and returns its position. Posting it again is safe.
func (r *REST) Post(ctx context.Context, s *Session, conversation string, d parley.Draft) (seq int64, err error) {
	var receipt struct {
		Seq int64 `json:"seq"`
	}
	err = r.as(ctx, s, http.MethodPost, "/v1/conversations/"+conversation+"/messages", d, &receipt)
	return receipt.Seq, err
}

// SignOut makes the tokens of the device void.
func (r *REST) SignOut(ctx context.Context, s *Session) error {
	return r.as(ctx, s, http.MethodPost, "/v1/sign-out", nil, nil)
}

// SignOutEverywhere makes the tokens of all devices of the user void.
func (r *REST) SignOutEverywhere(ctx context.Context, s *Session) error {
	return r.as(ctx, s, http.MethodPost, "/v1/users/"+s.User+"/sign-out", nil, nil)
}
