package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// The kinds of tombstones. Another one is refused by a Parley that does not know it:
// leaving it out would bring something back.
const (
	TombstoneMessage = "message" // was deleted: Stream, Seq, Sender, ID
	TombstoneHistory = "history" // begins at First now: Stream, First
	TombstoneSeen    = "seen"    // all that happened until At is told before this line
)

// lineBegins is how every line begins.
const lineBegins = `{"kind":"`

// Tombstone tells of something that was taken away and must not come back with a
// backup from before. It holds nothing of what somebody wrote.
type Tombstone struct {
	Kind  string `json:"kind"`
	Epoch string `json:"epoch"` // of the store that it was taken from

	Stream parley.Stream `json:"stream,omitempty"`
	Seq    int64         `json:"seq,omitempty"`
	Sender string        `json:"sender,omitempty"`
	ID     string        `json:"id,omitempty"`
	First  int64         `json:"first,omitempty"`
	At     int64         `json:"at,omitempty"` // Unix milliseconds
}

// Tombstones are those of a file, to which lines are only ever added. A message is
// known by its stream, sender and id, which are unique for ever, so that it is found
// in every backup, also from before an earlier restore.
type Tombstones struct {
	messages map[parley.Stream]map[messageName]bool
	firsts   map[string]map[parley.Stream]int64 // by epoch: seqs mean something only within it
	seen     map[string]int64
}

type messageName struct{ sender, id string }

// NewTombstones returns none.
func NewTombstones() *Tombstones {
	return &Tombstones{messages: map[parley.Stream]map[messageName]bool{}, firsts: map[string]map[parley.Stream]int64{}, seen: map[string]int64{}}
}

// ReadTombstones reads a file of tombstones. whole is how many bytes of it are lines:
// what is behind them is the beginning of one that was being written when somebody
// pulled the plug, and is to be cut off before more is added.
func ReadTombstones(r io.Reader) (t *Tombstones, whole int64, err error) {
	t = NewTombstones()
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			if n := min(len(line), len(lineBegins)); string(line[:n]) != lineBegins[:n] {
				return nil, 0, fmt.Errorf("this is not a file of tombstones")
			}
			return t, whole, nil
		}
		if err != nil {
			return nil, 0, err
		}
		var one Tombstone
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&one); err != nil {
			return nil, 0, fmt.Errorf("line %d is not a tombstone", n)
		}
		if err := one.check(); err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", n, err)
		}
		t.Add(one)
		whole += int64(len(line))
	}
}

func (one *Tombstone) check() error {
	ok := parley.ValidID(one.Epoch)
	switch one.Kind {
	case TombstoneMessage:
		ok = ok && one.Stream != "" && one.Seq > 0 && one.ID != "" && one.Sender != ""
	case TombstoneHistory:
		ok = ok && one.Stream != "" && one.First > 0
	case TombstoneSeen:
		ok = ok && one.At > 0
	default:
		return fmt.Errorf("there is a tombstone of the kind %q, which this version of Parley does not know: use the version that wrote it", one.Kind)
	}
	if !ok {
		return fmt.Errorf("this is not a whole tombstone")
	}
	return nil
}

// Add adds one, and reports whether it says something new.
func (t *Tombstones) Add(one Tombstone) bool {
	switch one.Kind {
	case TombstoneMessage:
		names := t.messages[one.Stream]
		if names == nil {
			names = map[messageName]bool{}
			t.messages[one.Stream] = names
		}
		name := messageName{one.Sender, one.ID}
		fresh := !names[name]
		names[name] = true
		return fresh
	case TombstoneHistory:
		firsts := t.firsts[one.Epoch]
		if firsts == nil {
			firsts = map[parley.Stream]int64{}
			t.firsts[one.Epoch] = firsts
		}
		fresh := firsts[one.Stream] < one.First
		firsts[one.Stream] = max(firsts[one.Stream], one.First)
		return fresh
	}
	fresh := t.seen[one.Epoch] < one.At
	t.seen[one.Epoch] = max(t.seen[one.Epoch], one.At)
	return fresh
}

// Seen returns the server time up to which the deletes of a store are told.
func (t *Tombstones) Seen(epoch string) int64 { return t.seen[epoch] }

// Len returns how many messages they are about.
func (t *Tombstones) Len() (n int) {
	for _, names := range t.messages {
		n += len(names)
	}
	return n
}

// Digest is another one when other things must not come back.
func (t *Tombstones) Digest() string {
	var lines []string
	for stream, names := range t.messages {
		for name := range names {
			lines = append(lines, string(stream)+" "+name.sender+" "+name.id)
		}
	}
	for epoch, firsts := range t.firsts {
		for stream, first := range firsts {
			lines = append(lines, fmt.Sprintf("%s %s %d", epoch, stream, first))
		}
	}
	slices.Sort(lines)
	sum := sha256.New()
	for _, line := range lines {
		_, _ = io.WriteString(sum, line+"\n")
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// Log is a store whose deletes are collected.
type Log interface {
	bridge.Portable
	EntriesSince(ctx context.Context, at int64, after *parley.Entry, limit int) ([]parley.Entry, error)
}

// seenMargin is how far before what has been seen is looked again: a store may show
// an entry later than one with a newer time.
const seenMargin = 60 * 1000

// Collect tells of everything that was deleted from a server time on, and where
// histories begin. The last one tells how far it has come. What was told before may
// be told again.
func Collect(ctx context.Context, from Log, since int64, tell func(Tombstone) error) error {
	newest := since
	var last *parley.Entry
	for {
		page, err := from.EntriesSince(ctx, since-seenMargin, last, entriesPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for i := range page {
			if err := deleted(ctx, from, &page[i], tell); err != nil {
				return err
			}
		}
		last = &page[len(page)-1]
		newest = max(newest, last.At)
	}
	if err := cuts(ctx, from, tell); err != nil || newest == 0 {
		return err
	}
	return tell(Tombstone{Kind: TombstoneSeen, Epoch: from.Epoch(), At: newest})
}

// deleted tells what a delete has taken away.
func deleted(ctx context.Context, from Log, e *parley.Entry, tell func(Tombstone) error) error {
	target, ok := e.Target()
	if !ok || e.Type != parley.EntryDelete {
		return nil
	}
	found, err := from.Read(ctx, e.Stream, target-1, 1)
	if err != nil || len(found) == 0 || !found[0].Type.Message() || found[0].Seq != target {
		return err
	}
	return tell(Tombstone{Kind: TombstoneMessage, Epoch: from.Epoch(), Stream: e.Stream, Seq: target, Sender: found[0].Sender, ID: found[0].ID, At: e.At})
}

func cuts(ctx context.Context, from Log, tell func(Tombstone) error) error {
	for after := parley.Stream(""); ; {
		page, err := from.Streams(ctx, after, statesPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, state := range page {
			// What is cut from the store's own was replaced: a backup from before needs it.
			if state.First < 2 || storesOwn(state.Stream) {
				continue
			}
			if err := tell(Tombstone{Kind: TombstoneHistory, Epoch: from.Epoch(), Stream: state.Stream, First: state.First}); err != nil {
				return err
			}
		}
		after = page[len(page)-1].Stream
	}
}
