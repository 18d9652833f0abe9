package bridge_test

import (
	"maps"
	"slices"

	"github.com/parley-chat/parley"
)

// ledger is what has to hold after a series of steps, kept in the most naive way:
// lists and maxima, no folds, no clocks.
type ledger struct {
	talks   map[string]*talk
	shelves map[string]*shelf // by user
}

// talk is a conversation in a ledger.
type talk struct {
	lines     []line
	status    parley.Status
	assignee  string
	agentRead int64
	marks     map[string]reach
}

// line is an entry: of a person, or a control entry.
type line struct {
	kind   parley.EntryType
	sender string
	id     string
}

type reach struct{ delivered, read int64 }

// shelf is a user's registers in a ledger.
type shelf struct {
	now    map[string]parley.Register
	stored map[string]stored // by id
}

// stored is a setting that was accepted.
type stored struct {
	draft   parley.SetDraft
	version int64
}

func newLedger(people ...parley.Identity) *ledger {
	l := &ledger{talks: map[string]*talk{}, shelves: map[string]*shelf{}}
	for _, who := range people {
		l.shelves[who.User] = &shelf{map[string]parley.Register{}, map[string]stored{}}
	}
	return l
}

// open has a conversation as its first message makes it.
func (l *ledger) open(id string, visitor parley.Identity, first string) {
	t := &talk{status: parley.StatusQueued, marks: map[string]reach{}}
	t.control(parley.EntryOpened)
	t.say(visitor, first)
	l.talks[id] = t
}

func (t *talk) head() int64 { return int64(len(t.lines)) }

// count is how many messages there are up to seq.
func (t *talk) count(seq int64) (n int64) {
	for _, one := range t.lines[:seq] {
		if one.kind == parley.EntryText {
			n++
		}
	}
	return n
}

func (t *talk) control(kind parley.EntryType) {
	t.lines = append(t.lines, line{kind: kind, sender: parley.SenderSystem})
}

// reads reports whether who may read t.
func (t *talk) reads(who parley.Identity) bool {
	return who.Role != parley.RoleAgent || t.assignee == who.User || t.status == parley.StatusQueued
}

// shows reports whether who's devices have t on their lists, whatever they have
// been through.
func (t *talk) shows(who parley.Identity) bool {
	if who.Role == parley.RoleVisitor || t.status == parley.StatusQueued {
		return true
	}
	return t.status == parley.StatusOpen && t.assignee == who.User
}

// say records a message, and reports whether who may.
func (t *talk) say(who parley.Identity, id string) bool {
	switch {
	case who.Role == parley.RoleVisitor && t.status == parley.StatusClosed:
		t.control(parley.EntryReopened)
		t.status, t.assignee = parley.StatusQueued, ""
	case who.Role == parley.RoleVisitor:
	case t.status == parley.StatusClosed || !who.Role.Supervises() && t.assignee != who.User:
		return false
	}
	t.lines = append(t.lines, line{parley.EntryText, who.User, id})
	t.marks[who.User] = reach{t.head(), t.head()}
	if t.assignee == who.User {
		t.agentRead = t.head()
	}
	return true
}

// claim reports whether who may.
func (t *talk) claim(who parley.Identity) bool {
	mine := t.status == parley.StatusOpen && t.assignee == who.User
	if t.status == parley.StatusClosed || t.status == parley.StatusOpen && !mine && !who.Role.Supervises() {
		return false
	}
	if !mine {
		t.control(parley.EntryAssigned)
		t.status, t.assignee = parley.StatusOpen, who.User
	}
	return true
}

// finish reports whether who may.
func (t *talk) finish(who parley.Identity) bool {
	if !who.Role.Supervises() && t.assignee != who.User {
		return false
	}
	if t.status != parley.StatusClosed {
		t.control(parley.EntryClosed)
		t.status = parley.StatusClosed
	}
	return true
}

// mark reports whether who may.
func (t *talk) mark(who parley.Identity, delivered, read int64) bool {
	delivered = max(delivered, read)
	if !t.reads(who) || delivered > t.head() {
		return false
	}
	had := t.marks[who.User]
	now := reach{max(had.delivered, delivered), max(had.read, read)}
	if t.assignee == who.User && (now != had || read > t.agentRead) {
		t.agentRead = max(t.agentRead, now.read)
	}
	if now != (reach{}) {
		t.marks[who.User] = now
	}
	return true
}

// mustAnswer tells what a setting has to be answered with: refused, or stored, at
// which version if it is a repeat.
func (s *shelf) mustAnswer(d parley.SetDraft) (refusal parley.Code, repeated int64) {
	if first, ok := s.stored[d.ID]; ok {
		if first.draft.Key != d.Key || string(first.draft.Value) != string(d.Value) || first.draft.BasedOn != d.BasedOn {
			return parley.CodeConflict, 0
		}
		return "", first.version
	}
	if s.now[d.Key].Version != d.BasedOn {
		return parley.CodeStale, 0
	}
	return "", 0
}

func (s *shelf) set(d parley.SetDraft, version int64) {
	s.stored[d.ID] = stored{d, version}
	s.now[d.Key] = parley.Register{Key: d.Key, Value: d.Value, Version: version}
}

// filled are the registers that are not empty: devices may have forgotten others.
func (s *shelf) filled() map[string]parley.Register {
	all := maps.Clone(s.now)
	maps.DeleteFunc(all, func(_ string, r parley.Register) bool { return string(r.Value) == "null" })
	return all
}

// view is all that is compared of a conversation, on a device, in the ledger and
// in the store.
type view struct {
	Status    parley.Status
	Assignee  string
	Head      int64
	Count     int64
	AgentRead int64
	Unread    int64
	Marks     parley.Marks
	Texts     []string // ids of messages in order; nil where they are not delivered
}

// views is what a device of who has to show.
func (l *ledger) views(who parley.Identity) map[string]view {
	all := map[string]view{}
	for id, t := range l.talks {
		if t.shows(who) {
			all[id] = t.view(who)
		}
	}
	return all
}

func (t *talk) view(who parley.Identity) view {
	v := view{
		Status: t.status, Assignee: t.assignee, Head: t.head(), Count: t.count(t.head()), AgentRead: t.agentRead,
		Unread: t.count(t.head()) - t.count(t.marks[who.User].read), Marks: parley.Marks{},
	}
	for _, user := range slices.Sorted(maps.Keys(t.marks)) {
		if m := t.marks[user]; who.Role.Staff() || user == who.User {
			v.Marks = append(v.Marks, parley.Mark{User: user, Delivered: m.delivered, Read: m.read, Count: t.count(m.read)})
		}
	}
	if who.Role == parley.RoleVisitor || t.assignee == who.User {
		v.Texts = t.texts()
	}
	return v
}

func (t *talk) texts() []string {
	ids := []string{}
	for _, one := range t.lines {
		if one.kind == parley.EntryText {
			ids = append(ids, one.id)
		}
	}
	return ids
}
