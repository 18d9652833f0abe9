package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-chat/parley"
)

// recordTimeout bounds how long a caller waits for the store: as long as MQTT devices do.
const recordTimeout = 5 * time.Second

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
	limited, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	answers, err := r.options.Log.Record(limited, who, q.Id, []parley.Draft{draft})
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
