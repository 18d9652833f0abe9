package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/parley-chat/parley"
)

// refusalBody is the body of parley.EntryRefusal.
type refusalBody struct {
	ID      string      `json:"id,omitempty"`
	Topic   string      `json:"topic"`
	Code    parley.Code `json:"code"`
	Retry   bool        `json:"retry"`
	Message string      `json:"message"`

	RetryAfter int64 `json:"retryAfter,omitempty"` // seconds

	Current *parley.Register `json:"current,omitempty"`
}

// maxTopicEcho bounds the topic that a refusal names, in bytes: as long as a
// legal one. A publish may have been to a topic of 65 KiB.
const maxTopicEcho = parley.MaxTopicLength

// Refuse writes refusal on the errors stream of who's device and returns when
// it is durable: only then may the refused publish be acknowledged. key names
// the attempt: the same key is written once, a new attempt at the same message
// is told of again. A topic above parley.MaxTopicLength bytes is cut and ends
// with an ellipsis.
func (b *Bridge) Refuse(ctx context.Context, who parley.Identity, key, topic string, refusal *parley.Error) error {
	e := b.system(parley.EntryRefusal, "refusal:"+key, refusalBody{
		ID: refusal.ID, Topic: shortTopic(topic), Code: refusal.Code, Retry: refusal.Code.Retry(), Message: refusal.Message,
		RetryAfter: parley.Seconds(refusal.RetryAfter), Current: refusal.Current,
	})
	stream := parley.ErrorsOf(who.Site, who.User, who.Device)
	answers, err := b.store.Append(ctx, stream, []parley.Entry{*e}, parley.ExpectAny)
	if err != nil {
		return fmt.Errorf("append refusal: %w", err)
	}
	if err := answers[0].Err; err != nil && parley.ErrorOf(err).Code != parley.CodeConflict {
		return fmt.Errorf("append refusal: %w", err)
	}
	return nil
}

// Refusals returns the newest refusals of who's device, oldest first, at most
// limit. Those of drafts without an id are left out.
func (b *Bridge) Refusals(ctx context.Context, who parley.Identity, limit int) ([]parley.Refusal, error) {
	entries, err := b.store.ReadBefore(ctx, parley.ErrorsOf(who.Site, who.User, who.Device), math.MaxInt64, limit)
	if err != nil {
		return nil, fmt.Errorf("read refusals: %w", err)
	}
	refusals := make([]parley.Refusal, 0, len(entries))
	for _, e := range entries {
		var body refusalBody
		if err := json.Unmarshal(e.Body, &body); err != nil || body.ID == "" {
			continue
		}
		refusals = append(refusals, parley.Refusal{
			Topic: body.Topic, Err: &parley.Error{Code: body.Code, Message: body.Message, ID: body.ID},
		})
	}
	return refusals, nil
}

func shortTopic(topic string) string {
	if len(topic) <= maxTopicEcho {
		return topic
	}
	return strings.ToValidUTF8(topic[:maxTopicEcho], "") + "…"
}
