package parley

import (
	"encoding/json"
	"strings"
	"time"
)

// EditBody is the body of EntryEdit.
type EditBody struct {
	Seq  int64  `json:"seq"` // of the message
	Text string `json:"text"`
}

// DeleteBody is the body of EntryDelete.
type DeleteBody struct {
	Seq int64 `json:"seq"` // of the message
}

// Amends reports whether entries of this type change an earlier message: edits
// and deletes. They are no messages and no control entries.
func (t EntryType) Amends() bool { return t == EntryEdit || t == EntryDelete }

// Target returns the seq of the message that e edits or deletes. ok is false for
// every other entry, and for an edit that was redacted.
func (e *Entry) Target() (seq int64, ok bool) {
	if !e.Type.Amends() {
		return 0, false
	}
	var b DeleteBody // the part that both have
	err := json.Unmarshal(e.Body, &b)
	return b.Seq, err == nil && b.Seq > 0
}

// Redact returns e as it is read after its message was deleted: without its
// body. All the rest stays, so that a late repeat is still found.
func (e Entry) Redact() Entry {
	e.Body, e.Redacted = json.RawMessage("{}"), true
	return e
}

// EditTimes is how long after its sending a message may be edited, and deleted by
// its author. 0 means never.
type EditTimes struct {
	Visitor time.Duration
	Staff   time.Duration // of everybody who is no visitor
}

// DefaultEditTimes returns what holds unless the operator says otherwise.
func DefaultEditTimes() EditTimes {
	return EditTimes{Visitor: 15 * time.Minute, Staff: 24 * time.Hour}
}

func (t EditTimes) of(r Role) time.Duration {
	if r == RoleVisitor {
		return t.Visitor
	}
	return t.Staff
}

// Amendment is an edit or a delete that somebody asks for.
type Amendment struct {
	Kind   EntryType     // EntryEdit or EntryDelete
	Note   bool          // of an internal note, not a message
	Target *Entry        // nil if there is no such entry
	Age    time.Duration // of Target; what is below 0 counts as 0
}

func (a Amendment) action() Action {
	switch {
	case a.Note:
		return ActionNote
	case a.Kind == EntryDelete:
		return ActionRead
	}
	return ActionSend
}

// MayAmend reports whether i may make a in c: nil, or an *Error. It is pure. The
// author may edit where sending is allowed and delete where reading is, as long
// as times says; who supervises may delete any message at any time. Nobody edits
// what somebody else wrote.
func (i Identity) MayAmend(a Amendment, c Conversation, times EditTimes) error {
	if err := i.MayIn(a.action(), c); err != nil {
		return err
	}
	if a.Kind == EntryEdit && !a.Note && c.Status == StatusClosed {
		return Errorf(CodeClosed, "the conversation is closed: its messages are not edited any more")
	}
	if a.Target == nil || !a.Target.Type.Message() {
		return Errorf(CodeNotFound, "no such message: seq is that of a message in this conversation")
	}
	if a.Kind != EntryDelete || !i.Role.Supervises() {
		if err := i.mayAmendOwn(a, times.of(i.Role)); err != nil {
			return err
		}
	}
	if a.Target.Redacted {
		return ErrDeleted(a.Kind)
	}
	return nil
}

func (i Identity) mayAmendOwn(a Amendment, limit time.Duration) error {
	switch {
	case a.Target.Sender != i.User && a.Kind == EntryEdit:
		return Errorf(CodeForbidden, "only its author edits a message")
	case a.Target.Sender != i.User:
		return Errorf(CodeForbidden, "only its author or a supervisor deletes a message")
	case limit <= 0:
		return Errorf(CodeForbidden, "messages stay as they were sent here; send another one")
	case a.Age > limit:
		return Errorf(CodeForbidden, "this can be done for %s after sending, which are over; send another message", spell(limit))
	}
	return nil
}

// spell writes a time limit without its zeros.
func spell(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// ErrDeleted is what an edit or delete of a message that is deleted already is
// refused with.
func ErrDeleted(kind EntryType) *Error {
	if kind == EntryEdit {
		return Errorf(CodeConflict, "the message was deleted, it cannot be edited any more; send another one")
	}
	return Errorf(CodeConflict, "the message is deleted already; there is nothing left to do")
}
