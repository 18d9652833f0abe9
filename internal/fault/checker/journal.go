// Package checker judges a run by what was written down: what senders sent and
// saw acknowledged, what devices showed, and what the store holds. It knows
// nothing of how the run was made, so a browser, a phone and a Go test are
// judged alike.
package checker

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"unique"

	"github.com/parley-chat/parley"
)

// Event is what a journal line tells.
type Event string

// The events.
const (
	// Sent: the device has put the message on the wire, or is about to. A line
	// for each repetition is allowed; the first one counts for the order.
	Sent Event = "sent"
	// Acked: the device has seen the acknowledgement. Seq is the position it was
	// given, or 0 where the acknowledgement does not say (MQTT 3.1.1).
	Acked Event = "acked"
	// Refused: the device was told that the message will never be stored.
	Refused Event = "refused"
	// Follows: from here on the device is owed every entry of the conversation
	// with a seq above Seq.
	Follows Event = "follows"
	// Told: the device has read a refusal on its errors topic: ID, Code, and with
	// a stale register Current.
	Told Event = "told"
	// Viewed: the state of a conversation has told the device how far a user, the
	// Sender, has got: Delivered and Read.
	Viewed Event = "viewed"
	// Shown: the device has shown the entry Seq. Dropping repeated deliveries by
	// seq comes before; a line here is what a person saw.
	Shown Event = "shown"
)

// Record is one journal line, written as one line of JSON.
type Record struct {
	Device       string           `json:"device"`         // whose journal this is
	User         string           `json:"user,omitempty"` // whose device that is; needed with Sent
	Event        Event            `json:"event"`
	Conversation string           `json:"conversation"` // or the user, where it is about that one's events
	ID           string           `json:"id,omitempty"`
	Seq          int64            `json:"seq,omitempty"`
	Sender       string           `json:"sender,omitempty"`    // with Shown: who wrote it
	Type         parley.EntryType `json:"type,omitempty"`      // with Sent and Shown; with Acked where it is no message
	Body         json.RawMessage  `json:"body,omitempty"`      // with Sent and Shown
	Redacted     bool             `json:"redacted,omitempty"`  // with Shown: as a message that was deleted
	Delivered    int64            `json:"delivered,omitempty"` // with Viewed, and with Sent of a mark
	Read         int64            `json:"read,omitempty"`      // the same
	Code         parley.Code      `json:"code,omitempty"`      // with Refused, where the device knows it, and with Told
	Current      *parley.Register `json:"current,omitempty"`   // with Told
	// MessagesOnly, with Follows: the device shows messages and no control
	// entries, so only those are owed.
	MessagesOnly bool `json:"messagesOnly,omitempty"`
}

// Stream is a conversation's messages stream, or a user's events, as the store
// returns it, oldest first and from the beginning, and what the store says is the
// sum of it, where that was asked for.
type Stream struct {
	Conversation string // or the user
	Entries      []parley.Entry
	Marks        *parley.Marks      // of everybody in the conversation
	Registers    *[]parley.Register // of the user; empty ones may be missing
}

// maxLine bounds one journal line: a body, escaped, and its frame.
const maxLine = 1 << 20

// ReadJournal reads journal lines of any number of devices. Lines of one device
// must be in the order of its events; how devices are mixed does not matter.
func ReadJournal(r io.Reader) ([]Record, error) {
	var records []Record
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var rec Record
		if err := json.Unmarshal(lines.Bytes(), &rec); err != nil {
			return nil, fmt.Errorf("read journal line %d: %w", n, err)
		}
		records = append(records, rec)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return records, nil
}

// Journal collects the records of one device in memory. It is safe for
// concurrent use; the order of the calls is the order of the journal. The zero
// value is an empty journal.
type Journal struct {
	mu      sync.Mutex
	records []Record
	tee     io.Writer
}

// Add appends r.
func (j *Journal) Add(r Record) {
	for _, name := range []*string{&r.Device, &r.User, &r.Conversation, &r.ID, &r.Sender} {
		*name = unique.Make(*name).Value() // journals of hours are millions of records
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.records = append(j.records, r)
	if j.tee == nil {
		return
	}
	line, err := json.Marshal(r)
	if err == nil {
		_, err = j.tee.Write(append(line, '\n'))
	}
	if err != nil { // a journal that forgets would acquit anybody
		panic(fmt.Errorf("write journal: %w", err))
	}
}

// Tee makes every Add write its record, as a line that ReadJournal reads, to w
// before it returns. Call it before the first Add.
func (j *Journal) Tee(w io.Writer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tee = w
}

// Extend appends records that are written down elsewhere already.
func (j *Journal) Extend(records []Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.records = append(j.records, records...)
}

// Records returns what has been added so far. Callers share it: they may append to
// it, and must not change what is in it.
func (j *Journal) Records() []Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clip(j.records)
}

// WriteTo writes the journal as JSON lines that ReadJournal reads.
func (j *Journal) WriteTo(w io.Writer) (int64, error) {
	var n int64
	for _, r := range j.Records() {
		line, err := json.Marshal(r)
		if err != nil {
			return n, fmt.Errorf("encode journal line: %w", err)
		}
		m, err := w.Write(append(line, '\n'))
		n += int64(m)
		if err != nil {
			return n, fmt.Errorf("write journal: %w", err)
		}
	}
	return n, nil
}
