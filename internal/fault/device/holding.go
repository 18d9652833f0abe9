package device

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/parley-chat/parley"
)

// View is what a device shows of some conversations, and its user's registers,
// field by field. Two that show the same are deeply equal.
type View struct {
	Conversations map[string]Talk            `json:"conversations"` // those that are in sight
	Registers     map[string]parley.Register `json:"registers"`     // those that are not empty; see Unversioned
}

// Unversioned is v as a device shows it that keeps the versions of registers to
// itself.
func (v View) Unversioned() View {
	registers := map[string]parley.Register{}
	for key, r := range v.Registers {
		r.Version = 0
		registers[key] = r
	}
	v.Registers = registers
	return v
}

// Talk is what a device shows of one conversation.
type Talk struct {
	Status    parley.Status `json:"status"`
	Assignee  string        `json:"assignee"`
	Visitor   string        `json:"visitor"`
	Head      int64         `json:"head"`
	Count     int64         `json:"count"`
	Unread    int64         `json:"unread"`
	AgentRead int64         `json:"agentRead"`
	UpdatedAt int64         `json:"updatedAt"`
	LastText  string        `json:"lastText"`
	Marks     parley.Marks  `json:"marks"`
	Texts     []string      `json:"texts"` // in order, with their seq, "edited" and "deleted"; nil where this device gets no messages
}

// talkOf makes a Talk of a state, and of what user has marked beyond it.
func talkOf(s parley.State, user string, beyond parley.Mark, texts []string) Talk {
	marks := slices.Clone(s.Marks)
	if beyond.User = user; beyond.Delivered > 0 {
		marks = marks.With(beyond)
	}
	t := Talk{
		Status: s.Status, Visitor: s.Visitor.ID, Head: s.Head, Count: s.Count, Unread: s.Count - marks.Of(user).Count,
		AgentRead: s.AgentRead, UpdatedAt: s.UpdatedAt, LastText: s.LastText, Marks: marks, Texts: texts,
	}
	if s.Assignee != nil {
		t.Assignee = s.Assignee.ID
	}
	return t
}

// Holding is what a device of an agent has been told: states, messages, and its
// user's events, applied by seq as the protocol says. It knows no clock and asks
// nobody. It is safe for concurrent use.
type Holding struct {
	session *Session

	mu        sync.Mutex
	heads     map[parley.Stream]int64
	texts     map[string]*fold
	states    map[string]parley.State
	marks     map[string]parley.Mark // of the user, from events
	registers map[string]parley.Register
	troubles  []string
}

// NewHolding returns what a device of s holds at the beginning: registers, with
// everything of the events up to after.
func NewHolding(s *Session, registers []parley.Register, after int64) *Holding {
	h := &Holding{
		session: s, heads: map[parley.Stream]int64{parley.EventsOf(s.Site, s.User): after}, texts: map[string]*fold{},
		states: map[string]parley.State{}, marks: map[string]parley.Mark{}, registers: map[string]parley.Register{},
	}
	for _, r := range registers {
		h.registers[r.Key] = r
	}
	return h
}

// filters are what a device subscribes to that holds everything.
func (s *Session) filters() []string {
	return []string{
		s.Topic(parley.TopicMessages, parley.Any), s.Topic(parley.TopicState, parley.Any),
		parley.EventsOf(s.Site, s.User).Topic(), parley.ErrorsOf(s.Site, s.User, s.Device).Topic(),
	}
}

// Deliver takes a delivery. What is not as it must be is among the troubles.
func (h *Holding) Deliver(topic string, payload []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.deliver(topic, payload); err != nil {
		h.note(fmt.Errorf("%s: %w", topic, err))
	}
}

// trouble notes what is not even a delivery.
func (h *Holding) trouble(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(err)
}

// note keeps the first troubles. The lock is held.
func (h *Holding) note(err error) {
	if len(h.troubles) < 10 {
		h.troubles = append(h.troubles, fmt.Sprintf("%s: %v", h.session.ClientID(), err))
	}
}

// Troubles are deliveries that must not be: holes, and what went back.
func (h *Holding) Troubles() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.troubles)
}

func (h *Holding) deliver(topic string, payload []byte) error {
	t, err := parley.ParseTopic(topic)
	if err != nil {
		return err
	}
	if t.Kind == parley.TopicState {
		return h.state(t.Conversation, payload)
	}
	stream, ok := t.Stream()
	if !ok {
		return fmt.Errorf("delivery on %s", topic)
	}
	e, _, err := parley.DecodeEntry(stream, payload)
	if err != nil {
		return err
	}
	return h.entry(t, e)
}

func (h *Holding) state(conversation string, payload []byte) error {
	if len(payload) == 0 {
		delete(h.states, conversation)
		return nil
	}
	var s parley.State
	if err := json.Unmarshal(payload, &s); err != nil {
		return fmt.Errorf("decode state: %w", err)
	}
	had := h.states[conversation]
	h.states[conversation] = s
	if s.Head < had.Head || s.Count < had.Count || s.AgentRead < had.AgentRead {
		return fmt.Errorf("a state went back from %+v to %+v", had, s)
	}
	for _, m := range had.Marks {
		if now := s.Marks.Of(m.User); now.Merge(m) != now {
			return fmt.Errorf("a mark went back from %+v to %+v", m, now)
		}
	}
	return nil
}

func (h *Holding) entry(t parley.Topic, e parley.Entry) error {
	have := h.heads[e.Stream]
	if e.Seq <= have {
		return nil // again
	}
	h.heads[e.Stream] = e.Seq
	if e.Seq > have+1 && t.Kind != parley.TopicErrors {
		return fmt.Errorf("entry %d of %s behind %d", e.Seq, e.Stream, have)
	}
	if t.Kind == parley.TopicMessages {
		h.conversation(t.Conversation).apply(e)
	}
	switch e.Type {
	case parley.EntryMarked:
		var m parley.MarkedBody
		if err := json.Unmarshal(e.Body, &m); err != nil {
			return fmt.Errorf("decode mark: %w", err)
		}
		h.marks[m.Conversation] = h.marks[m.Conversation].Merge(parley.Mark{Delivered: m.Delivered, Read: m.Read, Count: m.Count})
	case parley.EntrySet:
		return h.set(e)
	}
	return nil
}

func (h *Holding) set(e parley.Entry) error {
	var b parley.SetBody
	if err := json.Unmarshal(e.Body, &b); err != nil {
		return fmt.Errorf("decode register: %w", err)
	}
	known := h.registers[b.Key].Version
	h.registers[b.Key] = parley.Register{Key: b.Key, Value: b.Value, Version: e.Seq}
	if known != b.BasedOn {
		return fmt.Errorf("version %d of %s is based on %d, here it was %d", e.Seq, b.Key, b.BasedOn, known)
	}
	return nil
}

func (h *Holding) conversation(id string) *fold {
	if h.texts[id] == nil {
		h.texts[id] = &fold{}
	}
	return h.texts[id]
}

// Shows reports whether the device shows a message, and not as deleted.
func (h *Holding) Shows(conversation string, seq int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.conversation(conversation).at(seq)
	return m != nil && !m.deleted
}

// Version is what the device knows of a register.
func (h *Holding) Version(key string) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.registers[key].Version
}

// View is what the device shows of these conversations.
func (h *Holding) View(conversations []string) View {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := View{Conversations: map[string]Talk{}, Registers: filled(slices.Collect(maps.Values(h.registers)))}
	for _, id := range conversations {
		s, ok := h.states[id]
		if !ok {
			continue
		}
		var texts []string
		if s.Assignee != nil && s.Assignee.ID == h.session.User {
			texts = h.conversation(id).texts()
		}
		v.Conversations[id] = talkOf(s, h.session.User, h.marks[id], texts)
	}
	return v
}

// filled are the registers that are not empty, by key.
func filled(all []parley.Register) map[string]parley.Register {
	byKey := map[string]parley.Register{}
	for _, r := range all {
		if string(r.Value) != "null" {
			byKey[r.Key] = r
		}
	}
	return byKey
}
