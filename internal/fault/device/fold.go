package device

import (
	"encoding/json"
	"fmt"

	"github.com/parley-chat/parley"
)

// fold is what the entries of a conversation come to, in the order of seq: the newest
// edit by its author counts, and a delete is final. The zero value is ready to use.
type fold struct {
	messages []*message
}

type message struct {
	seq     int64
	sender  string
	text    string
	edited  bool
	deleted bool
}

// apply takes the next entry.
func (f *fold) apply(e parley.Entry) {
	var b parley.EditBody
	_ = json.Unmarshal(e.Body, &b) // what is no text shows as empty, and differs
	if e.Type == parley.EntryText {
		f.messages = append(f.messages, &message{seq: e.Seq, sender: e.Sender, text: b.Text, deleted: e.Redacted})
	}
	target, ok := e.Target()
	m := f.at(target)
	switch {
	case !ok || m == nil || m.deleted:
	case e.Type == parley.EntryDelete:
		m.deleted = true
	case e.Sender == m.sender:
		m.text, m.edited = b.Text, true
	}
}

func (f *fold) at(seq int64) *message {
	for _, m := range f.messages {
		if m.seq == seq {
			return m
		}
	}
	return nil
}

// texts are the messages as views have them.
func (f *fold) texts() []string {
	texts := []string{}
	for _, m := range f.messages {
		switch {
		case m.deleted:
			texts = append(texts, fmt.Sprintf("%d deleted", m.seq))
		case m.edited:
			texts = append(texts, fmt.Sprintf("%d %s (edited)", m.seq, m.text))
		default:
			texts = append(texts, fmt.Sprintf("%d %s", m.seq, m.text))
		}
	}
	return texts
}

// newest is the text of the newest message as lists show it: "" after its deletion.
func (f *fold) newest() string {
	if n := len(f.messages); n > 0 && !f.messages[n-1].deleted {
		return f.messages[n-1].text
	}
	return ""
}
