package parley

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
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

// TextBody is the body of EntryText. One with attachments may have no text.
type TextBody struct {
	Text        string     `json:"text"`
	Attachments []Attached `json:"attachments,omitempty"`
}

// NewText returns a draft of a text message.
func NewText(id, text string) Draft {
	body, _ := EncodeBody(TextBody{Text: text}) // a string always encodes
	return Draft{ID: id, Type: EntryText, Body: body}
}

// EncodeBody encodes the body of an entry. What is typed as < costs one byte, as its
// sender counted it.
func EncodeBody(body any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return nil, fmt.Errorf("encode body: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// DecodeDraft reads a draft from a payload and returns it in canonical form:
// members it does not know are dropped, the body is encoded anew. Names are
// compared exactly, and a known member that is given twice is refused: nobody
// can say which one its sender meant. So is half of a surrogate pair, anywhere.
// A refusal carries the message id where the payload has a valid one.
func DecodeDraft(payload []byte) (Draft, error) {
	id, kind, body := member{name: "id"}, member{name: "type"}, member{name: "body"}
	if !json.Valid(payload) || !readMembers(payload, &id, &kind, &body) {
		return Draft{}, Errorf(CodeInvalid, "the payload is not a JSON object {id, type, body}")
	}
	d := Draft{Body: body.value}
	var err error
	if d.ID, err = identify(payload, id, kind, body); err != nil {
		return Draft{}, err
	}
	name, _ := unquote(kind.value)
	d.Type = EntryType(name)
	if err := d.canonicalise(); err != nil {
		return Draft{}, err.About(d.ID)
	}
	return d, nil
}

// identify returns the id of what is sent again until it is acknowledged, if it is
// a valid one and what else was asked for is there once. A refusal carries it.
func identify(payload []byte, id member, others ...member) (string, error) {
	if id.twice {
		return "", givenTwice(id)
	}
	name, _ := unquote(id.value)
	if !ValidMessageID(name) {
		return "", Errorf(CodeInvalid, "id must be a string of %d to %d characters of A-Z a-z 0-9 - _", MinMessageIDLength, MaxMessageIDLength)
	}
	if err := checkCharacters(payload); err != nil {
		return "", err.About(name)
	}
	for _, m := range others {
		if m.twice {
			return "", givenTwice(m).About(name)
		}
	}
	return name, nil
}

func checkCharacters(payload []byte) *Error {
	switch {
	case !utf8.Valid(payload):
		return Errorf(CodeInvalid, "the text is not valid UTF-8")
	case halfSurrogate(payload):
		return Errorf(CodeInvalid, `the text holds half of a surrogate pair (\ud800 to \udfff), which is not a character`)
	}
	return nil
}

func givenTwice(m member) *Error {
	return Errorf(CodeInvalid, "%s is given twice", m.name)
}

func (d *Draft) canonicalise() *Error {
	if len(d.Body) > MaxBodyBytes {
		return tooLarge(len(d.Body))
	}
	switch d.Type {
	case EntryText:
		return d.canonicaliseText()
	case EntryEdit, EntryDelete:
		return d.canonicaliseAmendment()
	default:
		return Errorf(CodeInvalid, "unknown message type; this server takes: text, edit, delete")
	}
}

func (d *Draft) canonicaliseText() *Error {
	text, list := member{name: "text"}, member{name: "attachments"}
	readMembers(d.Body, &text, &list) // of what is no object, none
	attachments, err := canonicalAttachments(list)
	if err != nil {
		return err
	}
	if attachments != nil && string(text.value) == `""` && !text.twice {
		d.Body = slices.Concat([]byte(`{"text":""`), attachments, []byte(`}`))
		return nil
	}
	quoted, err := canonicalText(text, `the body of a text message is {"text": "…"}`)
	d.Body = slices.Concat([]byte(`{"text":`), quoted, attachments, []byte(`}`))
	return err
}

func (d *Draft) canonicaliseAmendment() *Error {
	seq, text := member{name: "seq"}, member{name: "text"}
	isObject := readMembers(d.Body, &seq, &text)
	if seq.twice {
		return givenTwice(seq)
	}
	n, err := strconv.ParseInt(string(seq.value), 10, 64)
	if !isObject || err != nil || n < 1 || n > maxSeq {
		return Errorf(CodeInvalid, amendmentShape)
	}
	if d.Type == EntryDelete {
		d.Body = fmt.Appendf(nil, `{"seq":%d}`, n)
		return nil
	}
	quoted, refusal := canonicalText(text, amendmentShape)
	d.Body = fmt.Appendf(nil, `{"seq":%d,"text":%s}`, n, quoted)
	return refusal
}

const amendmentShape = `the body of an edit is {"seq": 7, "text": "…"}, that of a delete {"seq": 7}, with the seq of the message`

// canonicalText returns a text as NewText would write it, with its quotes. shape
// says what a body should be like that has none.
func canonicalText(text member, shape string) ([]byte, *Error) {
	if text.twice {
		return nil, givenTwice(text)
	}
	if inner, plain := plainString(text.value); plain && len(inner) > 0 && !escapesLineEnd(inner) {
		return text.value, nil
	}
	s, isString := unquote(text.value)
	switch {
	case !isString:
		return nil, Errorf(CodeInvalid, "%s", shape)
	case s == "":
		return nil, Errorf(CodeInvalid, "the text is empty")
	}
	body := NewText("", s).Body
	return body[len(`{"text":`) : len(body)-1], nil
}

// escapesLineEnd reports whether encoding/json would escape a character of a
// text that needs no escapes: the line ends of JavaScript, U+2028 and U+2029.
func escapesLineEnd(text []byte) bool {
	return bytes.Contains(text, []byte("\u2028")) || bytes.Contains(text, []byte("\u2029"))
}

func tooLarge(n int) *Error {
	return Errorf(CodeTooLarge, "the body has %d bytes, at most %d are allowed", n, MaxBodyBytes)
}
