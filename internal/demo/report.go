package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

// report is what a device tells, by way of the demo page: all it shows now, and
// what it has sent since its last report. Sending a report twice is sending it
// once.
type report struct {
	Run    string     `json:"run"` // which load of the demo page this is
	Device deviceName `json:"device"`
	User   string     `json:"user"` // empty until the device is signed in
	Online bool       `json:"online"`
	Views  []view     `json:"views"` // every conversation that is open on the device

	Sent    []settled `json:"sent"`
	Acked   []settled `json:"acked"`
	Refused []settled `json:"refused"`
}

// settled is a message of the device's own, and what became of it.
type settled struct {
	Conversation string `json:"conversation"`
	ID           string `json:"id"`
	Seq          int64  `json:"seq"`  // when acknowledged, 0 if the device was not told
	Text         string `json:"text"` // when sent
}

// view is a conversation as a device shows it, in the order of the screen.
type view struct {
	Conversation string `json:"conversation"`
	// Complete: nothing older is left on the server that is not shown.
	Complete bool `json:"complete"`
	// Keep is how many rows from the top are as in the previous report; Rows are
	// those below them.
	Keep int   `json:"keep"`
	Rows []row `json:"rows"`
}

// row is a message on a screen.
type row struct {
	Seq  int64  `json:"seq"`
	ID   string `json:"id"`
	Own  bool   `json:"own"` // written by the device's user
	Text string `json:"text"`
}

const maxViews = 20 // open conversations of one device

// validate refuses what would not make sense in a journal.
func (r *report) validate() error {
	if !slices.Contains(deviceNames(), r.Device) {
		return fmt.Errorf("unknown device %q", r.Device)
	}
	if len(r.Views) > maxViews {
		return fmt.Errorf("%d conversations at once", len(r.Views))
	}
	for _, v := range r.Views {
		if !parley.ValidID(v.Conversation) {
			return fmt.Errorf("%q is not a conversation", v.Conversation)
		}
	}
	for _, m := range slices.Concat(r.Sent, r.Acked, r.Refused) {
		if !parley.ValidID(m.Conversation) || m.ID == "" || !parley.ValidID(r.User) {
			return errors.New("a message without conversation, id or sender")
		}
	}
	return nil
}

// record is the message as a line of the journal.
func (m *settled) record(device, user string, event checker.Event) checker.Record {
	r := checker.Record{Device: device, User: user, Event: event, Conversation: m.Conversation, ID: m.ID, Seq: m.Seq}
	if event == checker.Sent {
		r.Seq, r.Type, r.Body = 0, parley.EntryText, textBody(m.Text)
	}
	return r
}

func textBody(text string) json.RawMessage {
	body, _ := json.Marshal(map[string]string{"text": text}) // a map of strings can always be encoded
	return body
}

// records returns the view as a journal of the device, and how far it goes. A
// device may not know the ids of others: whose a row is, as long as it is not
// the user's own, is taken from the log.
func (v *view) records(device, user string, log *checker.Stream) (records []checker.Record, tail int64) {
	follows := checker.Record{Device: device, Event: checker.Follows, Conversation: v.Conversation, MessagesOnly: true}
	if !v.Complete {
		if len(v.Rows) == 0 {
			return nil, 0 // still loading
		}
		follows.Seq = v.Rows[0].Seq - 1
	}
	records = append(records, follows)
	tail = follows.Seq
	for _, r := range v.Rows {
		sender := user
		if !r.Own {
			sender = otherThan(user, r.Seq, log)
		}
		records = append(records, checker.Record{
			Device: device, Event: checker.Shown, Conversation: v.Conversation,
			Seq: r.Seq, ID: r.ID, Sender: sender, Type: parley.EntryText, Body: textBody(r.Text),
		})
		tail = max(tail, r.Seq)
	}
	return records, tail
}

// otherThan returns the sender of seq, empty if that is user or nobody.
func otherThan(user string, seq int64, log *checker.Stream) string {
	i, found := slices.BinarySearchFunc(log.Entries, seq, func(e parley.Entry, seq int64) int { return int(e.Seq - seq) })
	if !found || log.Entries[i].Sender == user {
		return ""
	}
	return log.Entries[i].Sender
}
