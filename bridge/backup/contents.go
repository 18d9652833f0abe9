package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

var _ bridge.Portable = (*Contents)(nil)

// Contents is what a backup holds, as a store that is copied or compared. It is read
// once from the beginning to the end: rows of all kinds first, in the order of
// bridge.RowKinds, then stream by stream; who asks for something that has been passed
// does not get it.
type Contents struct {
	b     *Reader
	epoch string
	gone  *Gone

	ahead *item // has been read, not used
	ended bool

	kind    bridge.RowKind
	rows    []bridge.Row
	stream  bridge.StreamState
	entries []parley.Entry
}

// Open reads the header of a backup that Check has read to its end. The contents have
// the epoch of the store that they are to become, and nothing of what is gone.
func Open(r io.Reader, epoch string, gone *Gone) (*Contents, error) {
	b, err := NewReader(r)
	if err != nil {
		return nil, err
	}
	return &Contents{b: b, epoch: epoch, gone: gone}, nil
}

// Epoch identifies the numbering of the new store.
func (c *Contents) Epoch() string { return c.epoch }

// peek returns the next item, nil at the end.
func (c *Contents) peek() (*item, error) {
	if c.ahead != nil || c.ended {
		return c.ahead, nil
	}
	next, err := c.b.next()
	if errors.Is(err, io.EOF) {
		c.ended = true
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c.ahead = &next
	return c.ahead, nil
}

func (c *Contents) take() { c.ahead = nil }

// Rows returns rows of a kind; see bridge.Portable.
func (c *Contents) Rows(ctx context.Context, kind bridge.RowKind, after string, limit int) ([]bridge.Row, error) {
	if kind != c.kind {
		c.kind, c.rows = kind, nil
	}
	c.rows = slices.DeleteFunc(c.rows, func(row bridge.Row) bool { return row.Key <= after })
	for len(c.rows) < limit {
		row, err := c.nextRow(kind)
		if err != nil {
			return nil, err
		}
		if row == nil {
			break
		}
		if row.Key > after {
			c.rows = append(c.rows, *row)
		}
	}
	return slices.Clone(c.rows[:min(limit, len(c.rows))]), ctx.Err()
}

// nextRow returns the next row of a kind, nil if there is none. It goes past those of
// kinds before.
func (c *Contents) nextRow(kind bridge.RowKind) (*bridge.Row, error) {
	for {
		it, err := c.peek()
		if err != nil || it == nil || it.kind != itemRow {
			return nil, err
		}
		var line rowLine
		if json.Unmarshal(it.line, &line) != nil {
			return nil, c.b.damaged("a row does not decode")
		}
		if slices.Index(bridge.RowKinds(), line.Kind) > slices.Index(bridge.RowKinds(), kind) {
			return nil, nil
		}
		c.take()
		if line.Kind != kind {
			continue
		}
		row := bridge.Row{Kind: kind, Key: line.Key, Value: it.data}
		left, err := c.gone.leavesOut(&row)
		if err != nil {
			return nil, c.b.damaged("a row does not decode")
		}
		if !left {
			return &row, c.blankRow(&row)
		}
	}
}

// blankRow takes from what lists show of a conversation what is gone from it.
func (c *Contents) blankRow(row *bridge.Row) error {
	if row.Kind != bridge.RowConversation {
		return nil
	}
	parts := bridge.RowKeyParts(row.Key, 2)
	stream := parley.MessagesOf(parts[0], parts[1])
	bodies, first := c.gone.bodies[stream], c.gone.firsts[stream]
	if len(bodies) == 0 && first == 0 {
		return nil
	}
	var conversation parley.Conversation
	if json.Unmarshal(row.Value, &conversation) != nil {
		return c.b.damaged("a row does not decode")
	}
	if first > 0 {
		conversation = conversation.Cut(first)
	}
	if bodies[conversation.LastSeq] {
		conversation.LastText = ""
	}
	value, err := parley.EncodeBody(conversation)
	row.Value = value
	return err
}

// Streams returns the next stream, if there is one; see bridge.Portable.
func (c *Contents) Streams(ctx context.Context, after parley.Stream, _ int) ([]bridge.StreamState, error) {
	for c.stream.Stream <= after {
		it, err := c.peek()
		if err != nil || it == nil || it.kind == itemBlob { // blobs are for Files
			return nil, err
		}
		c.take()
		if it.kind != itemStream {
			continue
		}
		var line streamLine
		if json.Unmarshal(it.line, &line) != nil {
			return nil, c.b.damaged("a stream does not decode")
		}
		c.stream, c.entries = bridge.StreamState(line), nil
		c.stream.First = max(c.stream.First, c.gone.firsts[line.Stream])
	}
	return []bridge.StreamState{c.stream}, ctx.Err()
}

// Read returns entries of the stream that Streams has returned last; see
// bridge.Portable.
func (c *Contents) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	if stream != c.stream.Stream {
		return nil, fmt.Errorf("%s: a backup is read in its order", stream)
	}
	c.entries = slices.DeleteFunc(c.entries, func(e parley.Entry) bool { return e.Seq <= after })
	for len(c.entries) < limit {
		it, err := c.peek()
		if err != nil {
			return nil, err
		}
		if it == nil || it.kind != itemEntry {
			break
		}
		c.take()
		var line entryLine
		if json.Unmarshal(it.line, &line) != nil {
			return nil, c.b.damaged("an entry does not decode")
		}
		if line.Seq <= after {
			continue
		}
		e := line.entry(stream, it.data)
		if c.gone.bodies[stream][e.Seq] {
			e = e.Redact()
		}
		c.entries = append(c.entries, e)
	}
	return slices.Clone(c.entries[:min(limit, len(c.entries))]), ctx.Err()
}
