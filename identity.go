package parley

import "time"

// Role is what a user is to a site.
type Role string

// The roles, from least to most rights.
const (
	RoleVisitor    Role = "visitor"
	RoleBot        Role = "bot"
	RoleAgent      Role = "agent"
	RoleSupervisor Role = "supervisor"
	RoleAdmin      Role = "admin"
	RoleOwner      Role = "owner"
	RoleSystem     Role = "system" // the server itself, never a client
)

// Staff reports whether the role works for the site: agents and above.
func (r Role) Staff() bool {
	return r == RoleAgent || r.Supervises()
}

// Supervises reports whether the role may see every conversation of its site.
func (r Role) Supervises() bool {
	return r == RoleSupervisor || r == RoleAdmin || r == RoleOwner
}

// Identity is who is speaking: one device of one user of one site, as a valid
// token says.
type Identity struct {
	Site    string
	User    string
	Device  string
	Role    Role
	Name    string    // shown to others, may be empty
	Expires time.Time // when the token ends
}

// ClientID returns the MQTT client identifier of the device, "{user}.{device}".
func (i Identity) ClientID() string { return i.User + "." + i.Device }

// DeviceKey names the device's session in the broker and the store,
// "{site}.{user}.{device}".
func (i Identity) DeviceKey() string { return i.Site + "." + i.ClientID() }

// Administers reports whether the role manages the site's people.
func (r Role) Administers() bool { return r == RoleOwner || r == RoleAdmin }

// Action is what somebody wants to do.
type Action string

// Actions on topics.
const (
	ActionPublish   Action = "publish"
	ActionSubscribe Action = "subscribe"
)

// Actions in a conversation.
const (
	ActionRead  Action = "read"  // see its messages and state
	ActionSend  Action = "send"  // write a message
	ActionClaim Action = "claim" // become responsible for it
	ActionClose Action = "close"
	ActionNote  Action = "note" // read and write its internal notes
	ActionMark  Action = "mark" // mark its messages delivered or read
)

// May reports whether i may do action on t at all, as far as the role and the
// topic tell: nil, or an *Error. It is pure. For the topics of a conversation
// the answer is necessary, not sufficient: MayIn decides with the conversation
// at hand.
func (i Identity) May(action Action, t Topic) error {
	if t.Site != i.Site {
		return Errorf(CodeForbidden, "this token belongs to another site")
	}
	var ok bool
	switch action {
	case ActionPublish:
		ok = i.mayPublish(t)
	case ActionSubscribe:
		ok = i.maySubscribe(t)
	}
	if !ok {
		return Errorf(CodeForbidden, "%s may not %s here", i.Role, action)
	}
	return nil
}

func (i Identity) mayPublish(t Topic) bool {
	if t.Wildcard() {
		return false
	}
	switch t.Kind {
	case TopicSend, TopicMarks, TopicSignals:
		return true
	case TopicNotesSend:
		return i.Role.Staff()
	case TopicSet:
		return t.User == i.User
	case TopicAuth:
		return i.ownDevice(t)
	case TopicVisits:
		return i.Role == RoleVisitor && t.User == i.User
	}
	return false
}

func (i Identity) maySubscribe(t Topic) bool {
	switch t.Kind {
	case TopicMessages, TopicState, TopicSignals:
		return true
	case TopicNotes, TopicPresence, TopicVisits:
		return i.Role.Staff()
	case TopicEvents:
		return t.User == i.User
	case TopicErrors:
		return i.ownDevice(t)
	}
	return false
}

func (i Identity) ownDevice(t Topic) bool { return t.User == i.User && t.Device == i.Device }

// MayIn reports whether i may do action in c: nil, or an *Error. It is pure. To
// somebody who may not even read c, and to everybody if c does not exist, every
// answer is CodeNotFound, so that ids cannot be probed.
//
// There is one exception: staff who claim what a colleague is responsible for
// are told CodeConflict. Who loses a race has to know that it was one. It tells
// no secret: every conversation that is open was in the queue first, where all
// staff of its site could read it. What is closed hides again.
func (i Identity) MayIn(action Action, c Conversation) error {
	if i.Site != c.Site || !c.Exists() {
		return errNoConversation()
	}
	if action == ActionClaim && i.cameSecondTo(c) {
		return Errorf(CodeConflict, "another agent has claimed this conversation")
	}
	if !i.mayRead(c) {
		return errNoConversation()
	}
	switch action {
	case ActionRead, ActionMark:
		return nil
	case ActionSend:
		return i.maySend(c)
	case ActionClaim:
		return i.mayClaim(c)
	case ActionClose:
		return i.mayClose(c)
	case ActionNote:
		return i.mayNote()
	}
	return Errorf(CodeForbidden, "unknown action")
}

func errNoConversation() *Error { return Errorf(CodeNotFound, "no such conversation") }

func (i Identity) mayRead(c Conversation) bool {
	if i.Role.Supervises() {
		return true
	}
	return i.TakesPart(c) || i.Role == RoleAgent && c.Status == StatusQueued
}

// TakesPart reports whether c is one of i's own conversations: the visitor's
// own, or assigned to the agent. Membership filters deliver these.
func (i Identity) TakesPart(c Conversation) bool {
	if i.Site != c.Site {
		return false
	}
	if i.Role == RoleVisitor {
		return c.Visitor == i.User
	}
	return i.Role.Staff() && c.Assignee == i.User
}

func (i Identity) maySend(c Conversation) error {
	switch {
	case i.Role == RoleVisitor:
		return nil // a message to a closed conversation opens it again
	case c.Status == StatusClosed:
		return Errorf(CodeClosed, "the conversation is closed")
	case !i.TakesPart(c) && !i.Role.Supervises():
		return Errorf(CodeForbidden, "claim the conversation before you write in it")
	}
	return nil
}

func (i Identity) mayClaim(c Conversation) error {
	switch {
	case !i.Role.Staff():
		return Errorf(CodeForbidden, "only agents claim conversations")
	case c.Status == StatusClosed:
		return Errorf(CodeClosed, "the conversation is closed")
	}
	return nil
}

// mayNote is for all staff who may read the conversation, whatever its status:
// notes are about it, not part of it.
func (i Identity) mayNote() error {
	if !i.Role.Staff() {
		return Errorf(CodeForbidden, "internal notes are for the site's staff")
	}
	return nil
}

// cameSecondTo reports whether a colleague has c, whom i may not relieve of it.
func (i Identity) cameSecondTo(c Conversation) bool {
	return c.Status == StatusOpen && i.Role.Staff() && !i.TakesPart(c) && !i.Role.Supervises()
}

func (i Identity) mayClose(c Conversation) error {
	if !i.Role.Supervises() && !(i.Role.Staff() && i.TakesPart(c)) {
		return Errorf(CodeForbidden, "only the responsible agent or a supervisor closes a conversation")
	}
	return nil
}
