package parley

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// MaxBodyBytes bounds a message's body as JSON, in bytes, as its sender wrote it.
const MaxBodyBytes = 64 << 10

// Draft is a message as its sender makes it, before it has a seq. Its ID is
// made before the first send and kept until the acknowledgement, so that
// sending again is safe.
type Draft struct {
	ID   string          `json:"id"`
	Type EntryType       `json:"type"`
	Body json.RawMessage `json:"body"`
}

// TextBody is the body of EntryText.
type TextBody struct {
	Text string `json:"text"`
}

// NewText returns a draft of a text message.
func NewText(id, text string) Draft {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)             // what is typed as < costs one byte, as its sender counted it
	_ = enc.Encode(TextBody{Text: text}) // a string always encodes
	return Draft{ID: id, Type: EntryText, Body: bytes.TrimSuffix(body.Bytes(), []byte("\n"))}
}

// DecodeDraft reads a draft from a payload and returns it in canonical form:
// fields it does not know are dropped, the body is encoded anew. A refusal
// carries the message id where the payload has a valid one.
func DecodeDraft(payload []byte) (Draft, error) {
	var raw struct {
		ID   any             `json:"id"`
		Type any             `json:"type"`
		Body json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(payload, &raw); err != nil {
		return Draft{}, Errorf(CodeInvalid, "the payload is not a JSON object {id, type, body}")
	}
	id, _ := raw.ID.(string)
	if !ValidMessageID(id) {
		return Draft{}, Errorf(CodeInvalid, "id must be a string of %d to %d characters of A-Z a-z 0-9 - _", MinMessageIDLength, MaxMessageIDLength)
	}
	kind, _ := raw.Type.(string)
	d := Draft{ID: id, Type: EntryType(kind), Body: raw.Body}
	if err := d.canonicalise(utf8.Valid(payload)); err != nil {
		return Draft{}, err.About(id)
	}
	return d, nil
}

func (d *Draft) canonicalise(validUTF8 bool) *Error {
	if !validUTF8 {
		return Errorf(CodeInvalid, "the text is not valid UTF-8")
	}
	if len(d.Body) > MaxBodyBytes {
		return tooLarge(len(d.Body))
	}
	switch d.Type {
	case EntryText:
		return d.canonicaliseText()
	default:
		return Errorf(CodeInvalid, "unknown message type; this server takes: text")
	}
}

func (d *Draft) canonicaliseText() *Error {
	var b struct {
		Text *string `json:"text"`
	}
	if err := json.Unmarshal(d.Body, &b); err != nil || b.Text == nil {
		return Errorf(CodeInvalid, `the body of a text message is {"text": "…"}`)
	}
	if *b.Text == "" {
		return Errorf(CodeInvalid, "the text is empty")
	}
	d.Body = NewText(d.ID, *b.Text).Body
	return nil
}

func tooLarge(n int) *Error {
	return Errorf(CodeTooLarge, "the body has %d bytes, at most %d are allowed", n, MaxBodyBytes)
}
