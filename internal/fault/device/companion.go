package device

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

// Companion is a device that does all that a device does: on one connection it
// writes messages, marks and personal registers, follows its user's conversations,
// their states and its user's events, and reads what it is refused. What was not
// acknowledged when a connection ended is sent again, in order. It is safe for
// concurrent use.
type Companion struct {
	Session *Session
	Journal checker.Journal

	endpoint   Endpoint
	version    byte
	subscribed chan struct{} // closed when all subscriptions were granted for the first time
	granted    sync.Once
	trouble    lastError
	acked      atomic.Int64

	mu       sync.Mutex
	conn     *Conn     // nil while there is none
	letters  []*letter // not settled, oldest first
	sent     int       // so many of them, from the front, are on this connection's wire
	packetID uint16
	shown    map[string]map[int64]bool // by conversation, or user for events: seqs
	versions map[string]int64          // of registers, by key, as far as this device knows
	views    map[string]parley.Marks   // by conversation
	own      map[string][]int64        // by conversation: messages that this device has written, and not deleted
	again    int
}

// letter is something to be acknowledged.
type letter struct {
	note     checker.Record // as it is sent
	topic    string
	payload  []byte
	noted    bool
	packetID uint16
}

// companionWindow is how many letters may be unacknowledged at once.
const companionWindow = 20

// NewCompanion returns a companion that speaks MQTT in the version of the kind.
func NewCompanion(k Kind, e Endpoint, s *Session) *Companion {
	return &Companion{
		Session: s, endpoint: e, version: k.version(), subscribed: make(chan struct{}),
		shown: map[string]map[int64]bool{}, versions: map[string]int64{}, views: map[string]parley.Marks{}, own: map[string][]int64{},
	}
}

// Run connects, sends, receives and reconnects until ctx ends.
func (c *Companion) Run(ctx context.Context) {
	reconnect(ctx, c.endpoint, c.Session, &c.trouble, c.serve)
}

// Subscribed is closed when the server has granted all subscriptions once.
func (c *Companion) Subscribed() <-chan struct{} { return c.subscribed }

// Say writes a text message.
func (c *Companion) Say(conversation, text string) {
	d := parley.NewText(parley.NewID(parley.PrefixMessage), text)
	c.post(c.Session.Topic(parley.TopicSend, conversation), d, checker.Record{
		Conversation: conversation, ID: d.ID, Type: d.Type, Body: d.Body,
	})
}

// Own returns the newest messages, at most n, that this device has written in a
// conversation and has not deleted.
func (c *Companion) Own(conversation string, n int) []int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.own[conversation]
	return slices.Clone(own[max(0, len(own)-n):])
}

// Edit gives a message another text.
func (c *Companion) Edit(conversation string, seq int64, text string) {
	c.amend(conversation, parley.EntryEdit, parley.EditBody{Seq: seq, Text: text})
}

// Delete deletes a message.
func (c *Companion) Delete(conversation string, seq int64) {
	c.mu.Lock()
	c.own[conversation] = slices.DeleteFunc(c.own[conversation], func(own int64) bool { return own == seq })
	c.mu.Unlock()
	c.amend(conversation, parley.EntryDelete, parley.DeleteBody{Seq: seq})
}

func (c *Companion) amend(conversation string, kind parley.EntryType, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Errorf("encode amendment: %w", err)) // a value of ours
	}
	d := parley.Draft{ID: parley.NewID(parley.PrefixMessage), Type: kind, Body: raw}
	c.post(c.Session.Topic(parley.TopicSend, conversation), d, checker.Record{
		Conversation: conversation, ID: d.ID, Type: d.Type, Body: d.Body,
	})
}

// Mark marks entries of a conversation.
func (c *Companion) Mark(conversation string, delivered, read int64) {
	mark := map[string]int64{"delivered": delivered, "read": read}
	c.post(c.Session.Topic(parley.TopicMarks, conversation), mark, checker.Record{
		Conversation: conversation, ID: parley.NewID("mark_"), Type: parley.EntryMarked, Delivered: max(delivered, read), Read: read,
	})
}

// Set sets a personal register, based on the version that the device knows, or,
// where behind is above 0, on an older one.
func (c *Companion) Set(key string, value any, behind int64) {
	c.mu.Lock()
	basedOn := max(c.versions[key]-behind, 0)
	c.mu.Unlock()
	id := parley.NewID("set_")
	raw, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Errorf("encode register: %w", err)) // a value of ours
	}
	body := parley.SetBody{Key: key, Value: raw, BasedOn: basedOn}
	payload := struct {
		ID string `json:"id"`
		parley.SetBody
	}{id, body}
	stored, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Errorf("encode register: %w", err))
	}
	c.post(c.topic(parley.TopicSet), payload, checker.Record{
		Conversation: c.Session.User, ID: id, Type: parley.EntrySet, Body: stored,
	})
}

// post takes up a letter, and sends it when its turn has come.
func (c *Companion) post(topic string, payload any, note checker.Record) {
	data, err := json.Marshal(payload)
	if err != nil {
		panic(fmt.Errorf("encode letter: %w", err))
	}
	note.Device, note.User, note.Event = c.Session.ClientID(), c.Session.User, checker.Sent
	c.mu.Lock()
	defer c.mu.Unlock()
	c.letters = append(c.letters, &letter{note: note, topic: topic, payload: data})
	c.push()
}

// push sends what has room. The lock is held. A connection that fails is noticed
// by who reads it.
func (c *Companion) push() {
	for c.conn != nil && c.sent < min(len(c.letters), companionWindow) {
		l := c.letters[c.sent]
		c.packetID = c.packetID%60_000 + 1 // above are those of subscriptions
		l.packetID = c.packetID
		c.sent++
		if !l.noted {
			l.noted = true
			c.Journal.Add(l.note)
		}
		if c.conn.Publish(l.packetID, l.topic, l.payload) != nil {
			c.conn.Close()
			c.conn = nil
		}
	}
}

// Knows is the newest position that the device has shown of a conversation.
func (c *Companion) Knows(conversation string) (newest int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(len(c.shown[conversation])) // from the first on, and without holes
}

// View is everybody's marks in a conversation as the device was told last.
func (c *Companion) View(conversation string) parley.Marks {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.views[conversation]
}

// Follow journals what the device is owed, as that of Subscriber.
func (c *Companion) Follow(conversation string, after int64) {
	c.Journal.Add(checker.Record{
		Device: c.Session.ClientID(), User: c.Session.User, Event: checker.Follows, Conversation: conversation, Seq: after,
	})
}

// Pending is how many letters are neither acknowledged nor refused yet.
func (c *Companion) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.letters)
}

// Acked is how many letters have been acknowledged.
func (c *Companion) Acked() int64 { return c.acked.Load() }

// Shown is how many different entries of a conversation, or of a user's events, the
// device has shown.
func (c *Companion) Shown(conversation string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.shown[conversation])
}

// Repeated is how many deliveries were of entries shown before.
func (c *Companion) Repeated() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.again
}

// Err is why the last connection ended or was not made, nil if none has.
func (c *Companion) Err() error { return c.trouble.load() }

// Records returns the journal, which nobody must change.
func (c *Companion) Records() []checker.Record { return c.Journal.Records() }
