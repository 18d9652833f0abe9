package parley

import (
	"encoding/json"
	"strconv"
)

// EntryType tells what an entry is. Message types are made by people and bots,
// control types by the server.
type EntryType string

// The types of entries that exist today.
const (
	EntryText EntryType = "text" // body {text}

	EntryEdit   EntryType = "edit"   // body EditBody: an earlier message has another text now
	EntryDelete EntryType = "delete" // body DeleteBody: an earlier message is gone

	EntryOpened   EntryType = "opened"   // body {visitor, name}: the conversation exists and waits in the queue
	EntryAssigned EntryType = "assigned" // body {agent, name}: an agent is responsible for it
	EntryClosed   EntryType = "closed"   // body {by}
	EntryReopened EntryType = "reopened" // body {by}: a message came after the close

	EntryMarked EntryType = "marked" // only in a user's events: body MarkedBody
	EntrySet    EntryType = "set"    // only in a user's events: body SetBody

	EntryRefusal EntryType = "refusal" // only in a device's errors: body {id, topic, code, retry, message}
)

// ControlTypes returns the types of control entries.
func ControlTypes() []EntryType {
	return []EntryType{EntryOpened, EntryAssigned, EntryClosed, EntryReopened, EntrySet}
}

// Control reports whether entries of this type change what others may decide:
// a conditional append fails when one of them came in between.
func (t EntryType) Control() bool {
	switch t {
	case EntryOpened, EntryAssigned, EntryClosed, EntryReopened, EntrySet:
		return true
	}
	return false
}

// Message reports whether entries of this type count as messages: they raise
// Entry.Count and make a conversation unread.
func (t EntryType) Message() bool { return t == EntryText }

// SenderSystem is the sender of entries that the server makes by itself.
const SenderSystem = "system"

// Entry is one position of a stream. Entries are never changed after the
// append, but for what Redact does when a message is deleted; readers may share
// them and must not write to Body or Digest.
type Entry struct {
	Stream Stream
	Seq    int64  // 1, 2, 3 … without holes, given at the append
	ID     string // made by the sender; (Stream, Sender, ID) is unique for ever
	Sender string // user id, or SenderSystem
	Device string // the sender's device, empty for entries of the server
	Role   Role   // what the sender was when sending
	Type   EntryType
	Body   json.RawMessage // a JSON object whose shape follows from Type
	At     int64           // server time of the append in Unix milliseconds; shown, never used for order
	Count  int64           // how many messages the stream holds up to and including this entry
	Digest []byte          // keyed hash of type and body; tells a repeat from a conflict

	Redacted bool // its message was deleted: the body is empty, the digest is still that of what was sent
}

// Delivery is an entry on its way to devices: its position and its wire form,
// made once and shared by all who deliver it. Nobody writes to Payload.
type Delivery struct {
	Seq     int64
	Payload []byte
}

// Delivery returns the delivery of e. Epoch is the store's.
func (e *Entry) Delivery(epoch string) Delivery {
	payload := make([]byte, 0, len(e.Body)+len(e.ID)+len(e.Sender)+len(e.Device)+len(epoch)+wireOverhead)
	return Delivery{Seq: e.Seq, Payload: e.AppendJSON(payload, epoch)}
}

// wireOverhead is about what the wire form of an entry has beside its strings.
const wireOverhead = 160

// wireEntry is the JSON form of an entry, the same on MQTT and HTTP.
type wireEntry struct {
	Seq    int64           `json:"seq"`
	Epoch  string          `json:"epoch"`
	ID     string          `json:"id"`
	Sender string          `json:"sender"`
	Device string          `json:"device,omitempty"`
	Role   Role            `json:"role"`
	Type   EntryType       `json:"type"`
	Body   json.RawMessage `json:"body"`
	At     int64           `json:"at"`
	Count  int64           `json:"count"`

	Redacted bool `json:"redacted,omitempty"`
}

// AppendJSON appends the wire form of e to dst. Epoch is the store's.
func (e *Entry) AppendJSON(dst []byte, epoch string) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendInt(dst, e.Seq, 10)
	dst = append(dst, `,"epoch":`...)
	dst = strconv.AppendQuote(dst, epoch) // identifiers: plain ASCII, so Go's quoting is JSON's
	dst = append(dst, `,"id":`...)
	dst = strconv.AppendQuote(dst, e.ID)
	dst = append(dst, `,"sender":`...)
	dst = strconv.AppendQuote(dst, e.Sender)
	if e.Device != "" {
		dst = append(dst, `,"device":`...)
		dst = strconv.AppendQuote(dst, e.Device)
	}
	dst = append(dst, `,"role":`...)
	dst = strconv.AppendQuote(dst, string(e.Role))
	dst = append(dst, `,"type":`...)
	dst = strconv.AppendQuote(dst, string(e.Type))
	dst = append(dst, `,"body":`...)
	if len(e.Body) == 0 {
		dst = append(dst, "{}"...)
	} else {
		dst = append(dst, e.Body...)
	}
	dst = append(dst, `,"at":`...)
	dst = strconv.AppendInt(dst, e.At, 10)
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, e.Count, 10)
	if e.Redacted {
		dst = append(dst, `,"redacted":true`...)
	}
	return append(dst, '}')
}

// DecodeEntry reads the wire form of an entry of stream s.
func DecodeEntry(s Stream, data []byte) (e Entry, epoch string, err error) {
	var w wireEntry
	if err := json.Unmarshal(data, &w); err != nil {
		return Entry{}, "", Errorf(CodeInvalid, "not an entry: %v", err)
	}
	return Entry{
		Stream: s, Seq: w.Seq, ID: w.ID, Sender: w.Sender, Device: w.Device, Role: w.Role,
		Type: w.Type, Body: w.Body, At: w.At, Count: w.Count, Redacted: w.Redacted,
	}, w.Epoch, nil
}
