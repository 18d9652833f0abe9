package storetest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/internal/corpus"
)

// writing makes the entries of a library.
type writing struct {
	library *library
	streams []parley.Stream // in the order in which they began
	entries map[parley.Stream][]parley.Entry
	said    map[parley.Stream]map[int64]*said // by seq

	mu sync.Mutex // guards library.texts
}

func newWriting(l *library) *writing {
	return &writing{library: l, entries: map[parley.Stream][]parley.Entry{}, said: map[parley.Stream]map[int64]*said{}}
}

// say adds the i-th message, some of them as notes, and changes one now and then.
func (w *writing) say(i int, m corpus.Message, talk *corpus.Corpus) {
	c := w.library.conversation(m.Conversation)
	w.begin(m.Conversation, c)
	s := &said{conversation: m.Conversation, note: i%9 == 0, sender: c.Visitor, text: m.Text}
	stream, role := c.Stream(), parley.RoleVisitor
	if s.note || !m.FromVisitor {
		s.sender, role = fmt.Sprintf("agt_%d", m.Conversation%4), parley.RoleAgent
	}
	if s.note {
		stream = c.Notes()
	}
	seq := w.add(stream, s.sender, role, parley.EntryText, parley.TextBody{Text: m.Text})
	if w.said[stream] == nil {
		w.said[stream] = map[int64]*said{}
	}
	w.said[stream][seq] = s
	for n := range 2 { // the second edit makes the first one old
		if i%20 == 3 && (n == 0 || i%40 == 3) {
			s.text, s.edited = talk.Message(-1-i-n).Text, true
			w.add(stream, s.sender, role, parley.EntryEdit, parley.EditBody{Seq: seq, Text: s.text})
		}
	}
	if i%25 == 3 {
		s.text = ""
		w.add(stream, s.sender, role, parley.EntryDelete, parley.DeleteBody{Seq: seq})
	}
}

// begin opens a conversation, and gives it to its agent.
func (w *writing) begin(n int, c parley.Conversation) {
	if len(w.entries[c.Stream()]) > 0 {
		return
	}
	w.system(c, parley.EntryOpened, parley.OpenedBody{Visitor: c.Visitor})
	if agent := fmt.Sprintf("agt_%d", n%4); c.Status != parley.StatusQueued {
		w.system(c, parley.EntryAssigned, parley.AssignedBody{Agent: agent})
	}
}

// end closes what is to be closed.
func (w *writing) end() {
	for _, c := range w.library.conversations {
		if c.Status == parley.StatusClosed {
			w.system(c, parley.EntryClosed, parley.ByBody{By: c.Assignee})
		}
	}
}

func (w *writing) system(c parley.Conversation, kind parley.EntryType, body any) {
	w.add(c.Stream(), parley.SenderSystem, parley.RoleSystem, kind, body)
}

// add adds an entry and returns the seq that it will have.
func (w *writing) add(stream parley.Stream, sender string, role parley.Role, kind parley.EntryType, body any) int64 {
	raw, _ := parley.EncodeBody(body) // bodies of ours always encode
	sum := sha256.Sum256(raw)
	if len(w.entries[stream]) == 0 {
		w.streams = append(w.streams, stream)
	}
	seq := len(w.entries[stream]) + 1
	w.entries[stream] = append(w.entries[stream], parley.Entry{
		ID: fmt.Sprintf("entry_%08d", seq), Sender: sender, Device: "dev_a", Role: role, Type: kind, Body: raw, Digest: sum[:],
	})
	return int64(seq)
}

// append appends the entries of one stream, and keeps where its messages are.
func (w *writing) append(ctx context.Context, st bridge.Store, stream parley.Stream) error {
	for batch := range slices.Chunk(w.entries[stream], bridge.MaxAppend) {
		answers, err := st.Append(ctx, stream, batch, parley.ExpectAny)
		if err != nil {
			return err
		}
		w.mu.Lock()
		for _, a := range answers {
			if a.Err != nil {
				w.mu.Unlock()
				return a.Err
			}
			if s := w.said[stream][a.Entry.Seq]; s != nil {
				s.Place = bridge.Place{At: a.Entry.At, Stream: stream, Seq: a.Entry.Seq}
				w.library.texts = append(w.library.texts, s)
			}
		}
		w.mu.Unlock()
	}
	return nil
}
