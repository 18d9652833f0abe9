package parley

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Limits of personal registers.
const (
	MaxRegisterBytes = MaxBodyBytes // of a value as JSON
	MaxRegisterDepth = 100          // levels of arrays and objects in a value
	MaxRegisters     = 1000         // of a user, those that were emptied included
)

// Register is a personal setting that all devices of a user share: a draft, a
// muted or pinned conversation, one marked unread, open tabs. The server does not
// read the value.
type Register struct {
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value"`   // null: empty
	Version int64           `json:"version"` // seq of the entry in the user's events that set it, 0 if none did
}

// SetDraft is a register as a device wants it to be. It counts if the register
// still has the version that the device knew: who was faster stays.
type SetDraft struct {
	ID      string // made before the first send, as that of a message
	Key     string
	Value   json.RawMessage
	BasedOn int64 // the version that the device knew, 0 for none
}

// SetBody is the body of EntrySet.
type SetBody struct {
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value"`
	BasedOn int64           `json:"basedOn"`
}

// DecodeSet reads a SetDraft from a payload: an object with id, key, value and
// basedOn. It fails with CodeInvalid, or CodeTooLarge for the value. A refusal
// carries the id where the payload has a valid one. The value is the server's to
// keep.
func DecodeSet(payload []byte) (SetDraft, error) {
	id, key, value, basedOn := member{name: "id"}, member{name: "key"}, member{name: "value"}, member{name: "basedOn"}
	if !json.Valid(payload) || !readMembers(payload, &id, &key, &value, &basedOn) {
		if depthOf(payload) > MaxRegisterDepth { // beyond some thousands, nothing is valid
			return SetDraft{}, tooDeep()
		}
		return SetDraft{}, Errorf(CodeInvalid, "the payload is not a JSON object {id, key, value, basedOn}")
	}
	var d SetDraft
	var err error
	if d.ID, err = identify(payload, id, key, value, basedOn); err != nil {
		return SetDraft{}, err
	}
	if err := d.fill(key, value, basedOn); err != nil {
		return SetDraft{}, err.About(d.ID)
	}
	return d, nil
}

func (d *SetDraft) fill(key, value, basedOn member) *Error {
	if d.Key, _ = unquote(key.value); !validRegisterKey(d.Key) {
		return Errorf(CodeInvalid, "key is a name of 1 to 16 letters a-z, or a name, a colon and an id, such as draft:cnv_1")
	}
	if value.value == nil {
		return Errorf(CodeInvalid, "value is missing; null empties the register")
	}
	if len(value.value) > MaxRegisterBytes {
		return tooLarge(len(value.value))
	}
	if depthOf(value.value) > MaxRegisterDepth {
		return tooDeep()
	}
	if hasInfinity(value.value) {
		return Errorf(CodeInvalid, "value has a number above 1.8e308, which clients would read as infinity")
	}
	n, err := strconv.ParseInt(string(basedOn.value), 10, 64)
	if err != nil || n < 0 || n > maxSeq {
		return Errorf(CodeInvalid, "basedOn is the version that you knew, 0 if the register was new to you")
	}
	d.Value, d.BasedOn = compact(value.value), n
	return nil
}

func tooDeep() *Error {
	return Errorf(CodeInvalid, "value is nested too deeply; at most %d levels of arrays and objects", MaxRegisterDepth)
}

func validRegisterKey(key string) bool {
	name, id, scoped := strings.Cut(key, ":")
	if len(name) < 1 || len(name) > 16 || scoped && !ValidID(id) {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") == ""
}
