package api

import (
	"context"
	"fmt"

	"github.com/parley-chat/parley"
)

// ListRegisters tells the caller's personal settings.
func (r rest) ListRegisters(ctx context.Context, _ ListRegistersRequestObject) (ListRegistersResponseObject, error) {
	who, err := identityOf(ctx)
	if err != nil {
		return nil, err
	}
	all, after, err := r.options.Log.Registers(ctx, who)
	if err != nil {
		return nil, fmt.Errorf("read registers: %w", err)
	}
	if all == nil {
		all = []parley.Register{} // JSON's empty list
	}
	return ListRegisters200JSONResponse{Epoch: r.options.Log.Epoch(), After: after, Registers: all}, nil
}

// SetRegister sets one of them, exactly as MQTT does.
func (r rest) SetRegister(ctx context.Context, q SetRegisterRequestObject) (SetRegisterResponseObject, error) {
	who, err := identityOf(ctx)
	if err != nil {
		return nil, err
	}
	draft, err := parley.DecodeSet(*q.Body)
	if err != nil {
		return nil, err
	}
	a, err := r.options.Log.Set(ctx, who, draft)
	if err != nil {
		return nil, about(draft.ID, orUnavailable(err))
	}
	if a.Err != nil {
		return nil, about(draft.ID, a.Err)
	}
	return SetRegister200JSONResponse{Seq: a.Entry.Seq, Epoch: r.options.Log.Epoch(), At: a.Entry.At, Duplicate: a.Duplicate}, nil
}
