package parley

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
)

// Mark is how far a user has got in a conversation: what has reached one of the
// user's devices, and what was read. Both only rise, so that marks can come in
// any order and any number of times. Sending a message marks it read.
type Mark struct {
	User      string `json:"user"`
	Delivered int64  `json:"delivered"` // seq
	Read      int64  `json:"read"`      // seq
	Count     int64  `json:"count"`     // messages up to and including Read: the others are unread
}

// Merge returns what is further of m and o, in each respect.
func (m Mark) Merge(o Mark) Mark {
	m.Delivered = max(m.Delivered, o.Delivered, o.Read)
	if o.Read > m.Read {
		m.Read, m.Count = o.Read, o.Count
	}
	return m
}

// Marks are those of everybody in a conversation, by user. They are shared and
// never changed.
type Marks []Mark

// Of returns a user's mark; the zero one, with the user's name on it, if there is
// none.
func (ms Marks) Of(user string) Mark {
	if i, ok := ms.find(user); ok {
		return ms[i]
	}
	return Mark{User: user}
}

// With returns ms with a user's mark merged in.
func (ms Marks) With(m Mark) Marks {
	i, ok := ms.find(m.User)
	if !ok {
		return slices.Insert(slices.Clip(ms), i, Mark{User: m.User}.Merge(m))
	}
	merged := ms[i].Merge(m)
	if merged == ms[i] {
		return ms
	}
	ms = slices.Clone(ms)
	ms[i] = merged
	return ms
}

// Merge returns ms with all marks of others merged in.
func (ms Marks) Merge(others Marks) Marks {
	for _, m := range others {
		ms = ms.With(m)
	}
	return ms
}

func (ms Marks) find(user string) (int, bool) {
	return slices.BinarySearchFunc(ms, user, func(m Mark, user string) int { return cmp.Compare(m.User, user) })
}

// MarkDraft is a mark as a device sends it.
type MarkDraft struct {
	Delivered int64
	Read      int64  // implies Delivered
	Epoch     string // of the numbering, may be empty
}

// maxSeq is the highest position that a JSON number holds exactly.
const maxSeq = 1<<53 - 1

// DecodeMark reads a mark from a payload: an object with delivered, read, or
// both, and perhaps epoch. Other members are ignored. It fails with CodeInvalid.
func DecodeMark(payload []byte) (MarkDraft, error) {
	delivered, read, epoch := member{name: "delivered"}, member{name: "read"}, member{name: "epoch"}
	if !json.Valid(payload) || !readMembers(payload, &delivered, &read, &epoch) || delivered.value == nil && read.value == nil {
		return MarkDraft{}, Errorf(CodeInvalid, "a mark is a JSON object {delivered, read}, with one of them at least")
	}
	var d MarkDraft
	for _, m := range []struct {
		member
		to *int64
	}{{delivered, &d.Delivered}, {read, &d.Read}} {
		if m.twice {
			return MarkDraft{}, givenTwice(m.member)
		}
		if m.value == nil {
			continue
		}
		n, err := strconv.ParseInt(string(m.value), 10, 64)
		if err != nil || n < 0 || n > maxSeq {
			return MarkDraft{}, Errorf(CodeInvalid, "%s is a seq: a whole number from 0 on", m.name)
		}
		*m.to = n
	}
	if epoch.twice {
		return MarkDraft{}, givenTwice(epoch)
	}
	if epoch.value != nil {
		if d.Epoch, _ = unquote(epoch.value); !ValidID(d.Epoch) {
			return MarkDraft{}, Errorf(CodeInvalid, "epoch is that of the entries that were read, or left out")
		}
	}
	d.Delivered = max(d.Delivered, d.Read)
	return d, nil
}

// MarkedBody is the body of EntryMarked.
type MarkedBody struct {
	Conversation string `json:"conversation"`
	Delivered    int64  `json:"delivered"`
	Read         int64  `json:"read"`
	Count        int64  `json:"count"`
	Responsible  bool   `json:"responsible,omitempty"` // by the agent who was responsible then
}

// Marked returns c after a user's mark, made at server time at. Marking is
// idempotent, and its order does not matter.
func (c Conversation) Marked(user string, b MarkedBody, at int64) Conversation {
	c.Marks = c.Marks.With(Mark{User: user, Delivered: b.Delivered, Read: b.Read, Count: b.Count})
	if b.Responsible {
		c.AgentRead = max(c.AgentRead, b.Read)
	}
	c.ChangedAt = max(c.ChangedAt, at)
	return c
}

// Newest returns the newer of two snapshots of a conversation, with the marks and
// the cut of both.
func (c Conversation) Newest(o Conversation) Conversation {
	if o.Head > c.Head {
		c, o = o, c
	}
	c.Marks = c.Marks.Merge(o.Marks)
	c.AgentRead = max(c.AgentRead, o.AgentRead)
	c.ChangedAt = max(c.ChangedAt, o.ChangedAt)
	return c.Cut(o.First)
}
