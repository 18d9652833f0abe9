package parley

import (
	"bytes"
	"encoding/json"
)

// MaxSignalBytes bounds what a client publishes as a signal.
const MaxSignalBytes = 1 << 10

// Signal is what somebody does in a conversation right now, such as typing. It
// is told to those who are there and stored nowhere.
type Signal struct {
	Sender string          `json:"sender"`
	Device string          `json:"device"`
	Role   Role            `json:"role"`
	At     int64           `json:"at"`   // server time in Unix milliseconds
	Body   json.RawMessage `json:"body"` // as its sender made it: an object with a type
}

// DecodeSignal reads the body of a signal from a payload. It fails with
// CodeTooLarge above MaxSignalBytes, and with CodeInvalid for all that is not an
// object with a type. The body is the server's to keep.
func DecodeSignal(payload []byte) (json.RawMessage, error) {
	if len(payload) > MaxSignalBytes {
		return nil, Errorf(CodeTooLarge, "the signal has %d bytes, at most %d are allowed", len(payload), MaxSignalBytes)
	}
	kind := member{name: "type"}
	if !json.Valid(payload) || !readMembers(payload, &kind) {
		return nil, Errorf(CodeInvalid, "a signal is a JSON object with a type")
	}
	if err := checkCharacters(payload); err != nil {
		return nil, err
	}
	if name, ok := unquote(kind.value); !ok || name == "" || kind.twice {
		return nil, Errorf(CodeInvalid, "a signal has one type, which is a string")
	}
	return compact(payload), nil
}

// compact returns a copy of valid JSON without space between its parts.
func compact(text []byte) json.RawMessage {
	var b bytes.Buffer
	_ = json.Compact(&b, text) // valid JSON always compacts
	return b.Bytes()
}
