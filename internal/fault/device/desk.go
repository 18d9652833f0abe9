package device

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/parley-chat/parley"
)

// Desk is a device of an agent that shows everything, marks, sets registers and
// writes, and that can be away. One goroutine uses it at a time.
type Desk interface {
	Kind() Kind
	Session() *Session

	// Mark marks a conversation as delivered and read, and Set sets a register.
	// They return when the server has acknowledged that; what it has refused is no
	// error. A page does both in its own time: see Page.
	Mark(ctx context.Context, conversation string, d parley.MarkDraft) error
	Set(ctx context.Context, d parley.SetDraft) error

	// Say writes a message, and returns its id.
	Say(ctx context.Context, conversation, text string) (id string, err error)
	// Amend edits or deletes the message at seq, and returns the id of that, "" where
	// the device does not show the message, or shows it as deleted. text is for edits.
	Amend(ctx context.Context, conversation string, kind parley.EntryType, seq int64, text string) (id string, err error)

	// Leave ends the connection; deliveries wait. Return brings it back.
	Leave(ctx context.Context) error
	Return(ctx context.Context) error

	// Version is what the device knows of a register, 0 if nothing, or on a page.
	Version(key string) int64
	// View is what it shows of these conversations.
	View(ctx context.Context, conversations []string) (View, error)
	// Troubles are deliveries that must not be.
	Troubles() []string
	// Close ends the device.
	Close()
}

// publication is a message as a desk sends it.
type publication struct {
	topic   string
	payload []byte
}

func (s *Session) markOf(conversation string, d parley.MarkDraft) publication {
	return publication{
		topic:   s.Topic(parley.TopicMarks, conversation),
		payload: fmt.Appendf(nil, `{"delivered":%d,"read":%d}`, d.Delivered, d.Read),
	}
}

func (s *Session) setOf(d parley.SetDraft) publication {
	return publication{
		topic:   parley.Topic{Kind: parley.TopicSet, Site: s.Site, User: s.User}.String(),
		payload: fmt.Appendf(nil, `{"id":%q,"key":%q,"value":%s,"basedOn":%d}`, d.ID, d.Key, d.Value, d.BasedOn),
	}
}

// headless is a desk without a screen: what it shows is its Holding, and how it
// publishes is up to the client that it is.
type headless struct {
	*Holding
	kind     Kind
	session  *Session
	endpoint Endpoint
	publish  func(context.Context, publication) error
}

func newHeadless(ctx context.Context, k Kind, e Endpoint, s *Session) (headless, error) {
	all, after, err := e.REST.Registers(ctx, s)
	return headless{Holding: NewHolding(s, all, after), kind: k, session: s, endpoint: e}, err
}

func (h *headless) Kind() Kind        { return h.kind }
func (h *headless) Session() *Session { return h.session }

func (h *headless) Mark(ctx context.Context, conversation string, d parley.MarkDraft) error {
	return h.publish(ctx, h.session.markOf(conversation, d))
}

func (h *headless) Set(ctx context.Context, d parley.SetDraft) error {
	return h.publish(ctx, h.session.setOf(d))
}

func (h *headless) Say(ctx context.Context, conversation, text string) (string, error) {
	d := parley.NewText(parley.NewID(parley.PrefixMessage), text)
	return d.ID, h.send(ctx, conversation, d)
}

func (h *headless) Amend(ctx context.Context, conversation string, kind parley.EntryType, seq int64, text string) (string, error) {
	if !h.Shows(conversation, seq) {
		return "", nil
	}
	d := NewAmendment(kind, seq, text)
	return d.ID, h.send(ctx, conversation, d)
}

func (h *headless) send(ctx context.Context, conversation string, d parley.Draft) error {
	payload, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode draft: %w", err)
	}
	return h.publish(ctx, publication{h.session.Topic(parley.TopicSend, conversation), payload})
}

// NewAmendment is the draft of an edit, or a delete, of the message at seq.
func NewAmendment(kind parley.EntryType, seq int64, text string) parley.Draft {
	var body any = parley.EditBody{Seq: seq, Text: text}
	if kind == parley.EntryDelete {
		body = parley.DeleteBody{Seq: seq}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Errorf("encode amendment: %w", err)) // a value of ours
	}
	return parley.Draft{ID: parley.NewID(parley.PrefixMessage), Type: kind, Body: raw}
}

func (h *headless) View(_ context.Context, conversations []string) (View, error) {
	return h.Holding.View(conversations), nil
}
