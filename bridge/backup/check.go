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

// Gone is what of a backup must not come back: see Check.
type Gone struct {
	bodies map[parley.Stream]map[int64]bool
	firsts map[parley.Stream]int64
	claims map[string]bool // keys of attachments whose message is gone, where their rows do not know its seq

	Entries int64 // whose bodies are left out
}

// Check reads a backup to its end, all that is in it too, and proves that it is whole
// and can be restored. It returns what of it must not come back: what tombstones tell
// of, and what was deleted while the backup was being made. tell is called after
// every MiB or so.
func Check(ctx context.Context, r io.Reader, t *Tombstones, tell func(Header, Counts)) (Header, End, *Gone, error) {
	b, err := NewReader(r)
	if err != nil {
		return Header{}, End{}, nil, err
	}
	gone := &Gone{bodies: map[parley.Stream]map[int64]bool{}, firsts: map[parley.Stream]int64{}, claims: map[string]bool{}}
	c := &checker{b: b, tombs: t, gone: gone, attachments: map[uint64]struct{}{}, claims: map[claim]string{}, claimed: map[string]int64{}}
	for {
		fresh := len(b.block) == 0
		it, err := b.next()
		if errors.Is(err, io.EOF) {
			if err := c.streamEnds(); err != nil {
				return b.header, End{}, nil, err
			}
			return b.header, b.end, c.gone, nil
		}
		if err == nil {
			err = c.take(it)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return b.header, End{}, nil, err
		}
		if fresh {
			tell(b.header, b.counts)
		}
	}
}

// checker goes through one backup.
type checker struct {
	b     *Reader
	tombs *Tombstones
	gone  *Gone

	row    rowLine
	stream streamLine
	seq    int64             // read of it
	first  int64             // where its history is to begin
	kinds  []byte            // of its entries, see message and empty
	edits  map[int64][]int64 // of its messages

	attachments map[uint64]struct{} // rows of them, by key
	claims      map[claim]string    // messages that claim attachments, whose seq is not known: the attachments' keys
	claimed     map[string]int64    // keys of those whose message was found in the present stream: its seq
}

// What is kept of an entry.
const (
	message = 1 << iota
	empty
)

func (c *checker) take(it item) error {
	switch it.kind {
	case itemRow:
		return c.takeRow(it)
	case itemStream:
		return c.takeStream(it)
	case itemBlob:
		return c.takeBlob(it)
	}
	return c.takeEntry(it)
}

func (c *checker) takeRow(it item) error {
	var row rowLine
	if json.Unmarshal(it.line, &row) != nil || !json.Valid(it.data) {
		return c.b.damaged("a row does not decode")
	}
	kind, before := slices.Index(bridge.RowKinds(), row.Kind), slices.Index(bridge.RowKinds(), c.row.Kind)
	switch {
	case kind < 0:
		return fmt.Errorf("%w (it has rows of the kind %q, which this one does not know)", ErrNewer, row.Kind)
	case kind < before || kind == before && row.Key <= c.row.Key || c.stream.Stream != "":
		return c.b.damaged("rows are not in their order")
	}
	c.row = row
	if row.Kind == bridge.RowAttachment {
		return c.takeAttachment(row.Key, it.data)
	}
	return nil
}

func (c *checker) takeStream(it item) error {
	var s streamLine
	switch {
	case json.Unmarshal(it.line, &s) != nil || s.Stream == "" || s.Seq < 1 || s.First < 0 || s.First > s.Seq:
		return c.b.damaged("a stream does not decode")
	case s.Stream <= c.stream.Stream:
		return c.b.damaged("streams are not in their order")
	}
	if err := c.streamEnds(); err != nil {
		return err
	}
	c.stream, c.seq, c.kinds, c.edits = s, 0, c.kinds[:0], nil
	c.first = s.First
	if first := min(c.tombs.firsts[c.b.header.Epoch][s.Stream], s.Seq); first > s.First {
		c.first = first
		c.gone.firsts[s.Stream] = first
	}
	return nil
}

func (c *checker) streamEnds() error {
	if c.seq != c.stream.Seq {
		return c.b.damaged("a stream is not as long as it says")
	}
	for key, seq := range c.claimed {
		if c.kinds[seq-1]&empty != 0 {
			c.gone.claims[key] = true
		}
	}
	clear(c.claimed)
	return nil
}

func (c *checker) takeEntry(it item) error {
	var line entryLine
	if json.Unmarshal(it.line, &line) != nil || line.Seq != c.seq+1 || c.stream.Stream == "" {
		return c.b.damaged("an entry does not decode, or is not in its order")
	}
	e := line.entry(c.stream.Stream, it.data)
	c.seq++
	kind := byte(0)
	if e.Type.Message() {
		kind |= message
	}
	if e.Redacted {
		kind |= empty
	}
	c.kinds = append(c.kinds, kind)
	if key, ok := c.claims[claim{e.Stream, e.Sender, e.ID}]; ok {
		c.claimed[key] = e.Seq
	}
	target, aims := e.Target()
	aims = aims && target > 0 && target < e.Seq
	switch {
	case e.Redacted:
	case c.tombs.messages[e.Stream][messageName{e.Sender, e.ID}], e.Type.Written() && e.Seq < c.first:
		c.blank(e.Seq)
	case aims && e.Type == parley.EntryEdit:
		if c.kinds[target-1]&empty != 0 {
			c.blank(e.Seq)
			break
		}
		if c.edits == nil {
			c.edits = map[int64][]int64{}
		}
		c.edits[target] = append(c.edits[target], e.Seq)
	case aims && e.Type == parley.EntryDelete && c.kinds[target-1] == message:
		for _, seq := range append(c.edits[target], target) {
			c.blank(seq)
		}
	}
	return nil
}

// blank leaves the body of an entry of the present stream out.
func (c *checker) blank(seq int64) {
	if c.kinds[seq-1]&empty != 0 {
		return
	}
	c.kinds[seq-1] |= empty
	bodies := c.gone.bodies[c.stream.Stream]
	if bodies == nil {
		bodies = map[int64]bool{}
		c.gone.bodies[c.stream.Stream] = bodies
	}
	bodies[seq] = true
	c.gone.Entries++
}
