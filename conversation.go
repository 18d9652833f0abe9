package parley

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Status is where a conversation is in its life.
//
//	           claim            close
//	queued ───────────▶ open ───────────▶ closed
//	  │                  ▲  claim by a       │
//	  │                  └─ supervisor       │
//	  │      close                           │
//	  ├─────────────────────────────────────▶│
//	  └──────────── a visitor's message ─────┘
type Status string

// The statuses.
const (
	StatusQueued Status = "queued" // waits for an agent
	StatusOpen   Status = "open"   // an agent is responsible
	StatusClosed Status = "closed"
)

// Conversation is the fold of a conversation's messages stream: what everybody
// needs to know without reading it all. The zero value is a conversation that
// does not exist yet.
type Conversation struct {
	Site     string
	ID       string
	Status   Status
	Visitor  string // whose conversation it is
	Assignee string // the responsible agent, empty if none

	VisitorName  string
	AssigneeName string

	Head    int64 // seq of the newest entry folded in
	First   int64 // seq where history begins, 0 if it was never cut
	Control int64 // seq of the newest control entry
	Count   int64 // messages so far

	OpenedAt  int64 // Unix milliseconds
	UpdatedAt int64 // of the newest entry
	ChangedAt int64 // of the newest entry or mark

	Marks     Marks
	AgentRead int64  // the newest seq that an agent has read while responsible
	LastText  string // the beginning of the newest message as it is now, or the name of what is attached, for lists; empty when it was deleted
	LastSeq   int64  // seq of the newest message
}

// lastTextRunes is how much of a message a list shows.
const lastTextRunes = 120

// Exists reports whether the conversation has been opened.
func (c Conversation) Exists() bool { return c.Head > 0 }

// Stream returns the conversation's messages stream.
func (c Conversation) Stream() Stream { return MessagesOf(c.Site, c.ID) }

// Notes returns the stream of the conversation's internal notes.
func (c Conversation) Notes() Stream { return NotesOf(c.Site, c.ID) }

// Bodies of the control entries.
type (
	// OpenedBody is the body of EntryOpened.
	OpenedBody struct {
		Visitor string `json:"visitor"`
		Name    string `json:"name,omitempty"`
	}
	// AssignedBody is the body of EntryAssigned.
	AssignedBody struct {
		Agent string `json:"agent"`
		Name  string `json:"name,omitempty"`
	}
	// ByBody is the body of EntryClosed and EntryReopened.
	ByBody struct {
		By string `json:"by"`
	}
)

// Apply folds e into c. Entries at or below c.Head are ignored, so applying is
// idempotent; the caller applies in seq order without gaps. An entry whose body
// does not decode changes nothing but the positions: the log is the truth, and
// one bad entry must not stop its readers.
func (c *Conversation) Apply(e *Entry) {
	if e.Seq <= c.Head {
		return
	}
	switch e.Type {
	case EntryOpened:
		var b OpenedBody
		if json.Unmarshal(e.Body, &b) == nil {
			c.Visitor, c.VisitorName = b.Visitor, b.Name
		}
		c.Status, c.OpenedAt = StatusQueued, e.At
	case EntryAssigned:
		var b AssignedBody
		if json.Unmarshal(e.Body, &b) == nil {
			c.Assignee, c.AssigneeName = b.Agent, b.Name
		}
		c.Status = StatusOpen
	case EntryClosed:
		c.Status = StatusClosed
	case EntryReopened:
		c.Status, c.Assignee, c.AssigneeName = StatusQueued, "", ""
	case EntryText:
		c.LastSeq = e.Seq
		if text, ok := beginning(e.Body); ok {
			c.LastText = text
		}
	case EntryEdit, EntryDelete:
		c.amend(e)
	}
	if e.Type.Control() {
		c.Control = e.Seq
	}
	if e.Type.Message() {
		c.Marks = c.Marks.With(Mark{User: e.Sender, Read: e.Seq, Count: e.Count})
		if e.Sender == c.Assignee {
			c.AgentRead = e.Seq
		}
	}
	c.Head, c.Count, c.UpdatedAt, c.ChangedAt = e.Seq, e.Count, e.At, max(c.ChangedAt, e.At)
}

// amend folds an edit or a delete: the list shows the newest message as it is.
func (c *Conversation) amend(e *Entry) {
	var b EditBody
	if json.Unmarshal(e.Body, &b) == nil && b.Seq == c.LastSeq {
		c.LastText = firstRunes(b.Text, lastTextRunes) // of a delete: none
	}
}

// beginning returns the first lastTextRunes of a text body. Bodies are stored as
// NewText writes them, so that most need no decoding: there is one for every
// message.
func beginning(body []byte) (text string, ok bool) {
	rest, plain := bytes.CutPrefix(body, []byte(`{"text":"`))
	for i, n := 0, 0; plain && i < len(rest) && rest[i] != '\\'; n++ {
		if n == 0 && rest[i] == '"' {
			break // an attachment without a text, perhaps
		}
		if rest[i] == '"' || n == lastTextRunes {
			return string(rest[:i]), true
		}
		_, size := utf8.DecodeRune(rest[i:])
		i += size
	}
	var b TextBody
	if err := json.Unmarshal(body, &b); err != nil {
		return "", false
	}
	if b.Text == "" && len(b.Attachments) > 0 {
		b.Text = b.Attachments[0].Name
	}
	return firstRunes(b.Text, lastTextRunes), true
}

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// State is what the state topic and the REST API show of a conversation.
type State struct {
	Conversation string  `json:"conversation"`
	Epoch        string  `json:"epoch"`
	Head         int64   `json:"head"`
	First        int64   `json:"first"`
	Count        int64   `json:"count"`
	Status       Status  `json:"status"`
	Visitor      Person  `json:"visitor"`
	Assignee     *Person `json:"assignee"`
	OpenedAt     int64   `json:"openedAt"`
	UpdatedAt    int64   `json:"updatedAt"`
	LastText     string  `json:"lastText"`
	Marks        Marks   `json:"marks"`     // of those whom the reader may see
	AgentRead    int64   `json:"agentRead"` // seq up to which an agent has read while responsible
}

// Person is a user as others see them.
type Person struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// State returns what a client of who sees of c: staff sees everybody's marks, a
// visitor the own one.
func (c Conversation) State(epoch string, who Identity) State {
	s := State{
		Conversation: c.ID, Epoch: epoch, Head: c.Head, First: max(c.First, min(c.Head, 1)), Count: c.Count, Status: c.Status,
		Visitor:  Person{ID: c.Visitor, Name: c.VisitorName},
		OpenedAt: c.OpenedAt, UpdatedAt: c.UpdatedAt, LastText: c.LastText,
		Marks: Marks{}, AgentRead: c.AgentRead,
	}
	if who.Role.Staff() {
		s.Marks = append(s.Marks, c.Marks...)
	} else if m := c.Marks.Of(who.User); m.Delivered > 0 {
		s.Marks = append(s.Marks, m)
	}
	if c.Assignee != "" {
		s.Assignee = &Person{ID: c.Assignee, Name: c.AssigneeName}
	}
	return s
}

// ConversationList selects conversations for a list, most recently updated
// first.
type ConversationList struct {
	Status Status // empty: any
	Mine   bool   // only those the reader takes part in
	// UpdatedBefore and IDBefore are those of the last conversation of the
	// previous page; zero starts at the top.
	UpdatedBefore int64
	IDBefore      string
	Limit         int // 1 to 100; 0 means 50
}
