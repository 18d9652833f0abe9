package history

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/corpus"
)

const (
	site   = "ste_history"
	agents = 20

	fillBlock   = 20_000 // messages between which all writers wait for each other
	fillWriters = 64
)

// Filler writes a corpus into a store: each conversation with its visitor, most
// of them with an agent. What it writes is always the same, so that filling
// again adds only what is missing.
type Filler struct {
	log    Log
	corpus *corpus.Corpus
	filled int
}

// Log is where a Filler writes.
type Log interface {
	Append(ctx context.Context, stream parley.Stream, entries []parley.Entry, expect int64) ([]parley.Appended, error)
}

// NewFiller returns a Filler that starts with the first message.
func NewFiller(log Log, seed uint64) *Filler {
	return &Filler{log: log, corpus: corpus.New(seed)}
}

// Fill writes messages until there are so many.
func (f *Filler) Fill(ctx context.Context, messages int) error {
	for f.filled < messages {
		end := min(f.filled+fillBlock, messages)
		if err := f.block(ctx, f.filled, end); err != nil {
			return err
		}
		f.filled = end
	}
	return nil
}

// block writes the messages from one to before another, many conversations at
// once.
func (f *Filler) block(ctx context.Context, from, to int) error {
	entries := map[int][]parley.Entry{}
	var order []int
	for i := from; i < to; i++ {
		m := f.corpus.Message(i)
		if _, known := entries[m.Conversation]; !known {
			order = append(order, m.Conversation)
			entries[m.Conversation] = openings(m.Conversation)
		}
		entries[m.Conversation] = append(entries[m.Conversation], entryOf(i, m))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan int)
	var writers sync.WaitGroup
	for range fillWriters {
		writers.Go(func() {
			for n := range todo {
				if err := f.conversation(ctx, n, entries[n]); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, n := range order {
		todo <- n
	}
	close(todo)
	writers.Wait()
	return context.Cause(ctx)
}

func (f *Filler) conversation(ctx context.Context, n int, entries []parley.Entry) error {
	const most = 250 // bridge.MaxAppend is a bit more
	for len(entries) > 0 {
		batch := entries[:min(len(entries), most)]
		if _, err := f.log.Append(ctx, parley.MessagesOf(site, conversationID(n)), batch, parley.ExpectAny); err != nil {
			return fmt.Errorf("append to conversation %d: %w", n, err)
		}
		entries = entries[len(batch):]
	}
	return nil
}

func conversationID(n int) string { return fmt.Sprintf("cnv_%d", n) }
func visitorID(n int) string      { return fmt.Sprintf("vis_%d", n) }
func agentID(n int) string        { return fmt.Sprintf("agt_%d", n%agents) }

// openings returns the entries with which a conversation begins; where it has
// them already, they are repeats. One in ten waits in the queue.
func openings(n int) []parley.Entry {
	opened, _ := parley.EncodeBody(parley.OpenedBody{Visitor: visitorID(n), Name: "Visitor"}) // strings always encode
	all := []parley.Entry{systemEntry(n, "opened", parley.EntryOpened, opened)}
	if n%10 == 9 {
		return all
	}
	assigned, _ := parley.EncodeBody(parley.AssignedBody{Agent: agentID(n), Name: "Agent"})
	return append(all, systemEntry(n, "assigned", parley.EntryAssigned, assigned))
}

func systemEntry(n int, what string, kind parley.EntryType, body []byte) parley.Entry {
	return digested(parley.Entry{
		ID: fmt.Sprintf("%s:%d", what, n), Sender: parley.SenderSystem, Role: parley.RoleSystem, Type: kind, Body: body,
	})
}

func entryOf(i int, m corpus.Message) parley.Entry {
	e := parley.Entry{
		ID: fmt.Sprintf("msg_%08d", i), Sender: agentID(m.Conversation), Device: "dev_a", Role: parley.RoleAgent,
		Type: parley.EntryText, Body: parley.NewText("", m.Text).Body,
	}
	if m.FromVisitor {
		e.Sender, e.Role = visitorID(m.Conversation), parley.RoleVisitor
	}
	return digested(e)
}

func digested(e parley.Entry) parley.Entry {
	sum := sha256.Sum256(e.Body)
	e.Digest = sum[:]
	return e
}
