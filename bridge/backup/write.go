package backup

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"sort"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// How much is read at once.
const (
	statesPage  = 500
	entriesPage = 250
	rowsPage    = 250
)

// Source is a store that is backed up. A server may be writing to it.
type Source interface {
	bridge.Portable

	// NewestAt returns the server time of the newest entry, 0 if there is none. What
	// was acknowledged before the call is not newer.
	NewestAt(ctx context.Context) (int64, error)

	// About returns about how many streams and entries there are, 0 where finding out
	// would take long.
	About(ctx context.Context) (streams, entries int64, err error)

	// Ready returns when all that was being appended at the call has come to its end,
	// one way or the other. Whether it has is no matter here.
	Ready(ctx context.Context) error
}

// Options tell how to write a backup.
type Options struct {
	Parley string           // version of the program
	Store  string           // sqlite or mongodb
	Now    func() time.Time // the clock that gives entries their server time; nil is time.Now

	// Rest is how many times as long as it has worked it rests, a few milliseconds at a
	// time: for a process that has something more urgent to do. 0 is never.
	Rest int

	// Blobs are the bytes of files. Nil leaves them out.
	Blobs Blobs

	// Damaged tells whether an error of Blobs means that one of them is damaged, for good.
	// Nil: none does.
	Damaged func(error) bool
}

// Write writes a backup of from, which may be in use, to w. Everything that was
// acknowledged before the call is in it, and of every stream a beginning: all entries
// up to one server time, End.Position, as long as clocks do not fall. Streams of the
// store's own are in it as far as they go when they are read.
//
// Rows are read before that time is fixed, so that none of them knows of an entry
// that the backup does not have; those of attachments after it, so that every message
// has its files. Their bytes come last. No transaction is held open, and nobody waits.
//
// When it fails and w still takes bytes, the last of them say so.
func Write(ctx context.Context, from Source, w io.Writer, o Options) (End, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	frames, err := newFrameWriter(w)
	if err != nil {
		return End{}, err
	}
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return End{}, fmt.Errorf("begin to compress: %w", err)
	}
	b := &writer{
		from: from, frames: frames, zip: zip, now: o.Now, rest: o.Rest, since: time.Now(), devices: map[uint64]struct{}{},
		blobs: o.Blobs, damaged: o.Damaged, attachments: map[uint64]struct{}{}, sealed: map[string]bool{},
	}
	if err := b.all(ctx, o); err != nil {
		why := err.Error()
		if ctx.Err() != nil {
			why = "it was stopped"
		}
		return b.end, errors.Join(err, frames.frame(frameBroken, []byte(why)))
	}
	return b.end, nil
}

// writer writes one backup.
type writer struct {
	from   Source
	frames *frameWriter
	zip    *zstd.Encoder
	now    func() time.Time

	rest  int
	since time.Time // when it last rested

	numbers []bridge.Row        // as they were before all other rows
	devices map[uint64]struct{} // that have sessions

	blobs       Blobs
	damaged     func(error) bool
	attachments map[uint64]struct{} // whose bytes belong to the backup
	sealed      map[string]bool     // whether the blobs of a site mostly are
	piece       []byte

	block, packed []byte
	end           End
}

// worked is how long it works before it rests.
const worked = 2 * time.Millisecond

// pause rests when it has worked for long enough.
func (b *writer) pause(ctx context.Context) error {
	took := time.Since(b.since)
	if b.rest > 0 && took >= worked {
		select {
		case <-time.After(took * time.Duration(b.rest)):
		case <-ctx.Done():
		}
		b.since = time.Now()
	}
	return ctx.Err()
}

func (b *writer) all(ctx context.Context, o Options) error {
	h := Header{Format: Format, Made: o.Now().UTC(), Parley: o.Parley, Store: o.Store, Epoch: b.from.Epoch(), Files: b.blobs != nil, Warning: Warning}
	var err error
	if h.AboutStreams, h.AboutEntries, err = b.from.About(ctx); err != nil {
		return err
	}
	if err := b.json(frameHeader, h); err != nil {
		return err
	}
	if b.numbers, err = b.from.Rows(ctx, bridge.RowNumber, "", rowsPage); err != nil {
		return err
	}
	for _, kind := range bridge.RowKinds() {
		if kind == bridge.RowAttachment {
			if err := b.fix(ctx); err != nil {
				return err
			}
		}
		if err := b.rows(ctx, kind); err != nil {
			return err
		}
	}
	if err := b.streams(ctx); err != nil {
		return err
	}
	if err := b.flush(); err != nil {
		return err
	}
	if err := b.files(ctx); err != nil {
		return err
	}
	b.end.SHA256 = hex.EncodeToString(b.frames.sum.Sum(nil))
	return b.json(frameEnd, b.end)
}

func (b *writer) json(frame byte, value any) error {
	payload, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return b.frames.frame(frame, payload)
}

// fix decides up to which server time the backup goes. It waits until that is over
// and what was on its way has arrived, so that nothing of it comes later.
func (b *writer) fix(ctx context.Context) (err error) {
	if b.end.Position, err = b.from.NewestAt(ctx); err != nil {
		return err
	}
	// A clock that was put back stays behind for long: streams are then begun where
	// they are found, which breaks no promise but that of one time for all.
	if wait := time.UnixMilli(b.end.Position + 1).Sub(b.now()); wait > 0 {
		select {
		case <-time.After(min(wait, 100*time.Millisecond)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	_ = b.from.Ready(ctx) // a store whose disk is full can be backed up
	return ctx.Err()
}

func (b *writer) rows(ctx context.Context, kind bridge.RowKind) error {
	for after := ""; ; {
		page, err := b.from.Rows(ctx, kind, after, rowsPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if !b.fits(&page[i]) {
				continue
			}
			if err := b.item(itemRow, rowLine{kind, page[i].Key}, page[i].Value); err != nil {
				return err
			}
			b.end.Rows++
		}
		after = page[len(page)-1].Key
		if err := b.pause(ctx); err != nil {
			return err
		}
	}
}

// fits makes a row one that goes with those before, which were read earlier: no cursor
// is of a session that is not there, and lists are no newer than is said of them. It
// reports whether the row can be used.
func (b *writer) fits(row *bridge.Row) bool {
	switch {
	case row.Kind == bridge.RowSession:
		b.devices[hashOf(row.Key)] = struct{}{}
	case row.Kind == bridge.RowCursor:
		_, ok := b.devices[hashOf(bridge.RowKeyParts(row.Key, 2)[0])]
		return ok
	case row.Kind == bridge.RowNumber && row.Key == bridge.NumberProjected:
		i := slices.IndexFunc(b.numbers, func(before bridge.Row) bool { return before.Key == row.Key })
		if i < 0 {
			return false
		}
		row.Value = b.numbers[i].Value
	case row.Kind == bridge.RowAttachment:
		return b.fitsAttachment(row)
	}
	return true
}

// hashOf stands for a device: there may be millions.
func hashOf(device string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, device) // never fails
	return h.Sum64()
}

func (b *writer) streams(ctx context.Context) error {
	for after := parley.Stream(""); ; {
		page, err := b.from.Streams(ctx, after, statesPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			write := b.stream
			if storesOwn(page[i].Stream) {
				write = b.whole
			}
			if err := write(ctx, page[i]); err != nil {
				return err
			}
		}
		after = page[len(page)-1].Stream
	}
}

// whole writes all that a stream of the store's own has: it is short.
func (b *writer) whole(ctx context.Context, state bridge.StreamState) error {
	var all []parley.Entry
	for {
		page, err := b.from.Read(ctx, state.Stream, int64(len(all)), entriesPage)
		if err != nil {
			return err
		}
		if all = append(all, page...); len(page) < entriesPage {
			break
		}
	}
	state.Seq = int64(len(all))
	if err := b.begin(state); err != nil {
		return err
	}
	return b.entries(state, 0, all)
}

// begin begins a stream.
func (b *writer) begin(state bridge.StreamState) error {
	b.end.Streams++
	return b.item(itemStream, streamLine(state), nil)
}

// entries writes those of a stream that follow after, up to its end.
func (b *writer) entries(state bridge.StreamState, after int64, page []parley.Entry) error {
	for i := 0; i < len(page) && after < state.Seq; i++ {
		if after++; page[i].Seq != after {
			return fmt.Errorf("%s: entry %d is missing", state.Stream, after)
		}
		if err := b.item(itemEntry, lineOf(&page[i]), page[i].Body); err != nil {
			return err
		}
		b.end.Entries++
	}
	return nil
}

// stream writes what a stream has up to the position.
func (b *writer) stream(ctx context.Context, state bridge.StreamState) error {
	page, err := b.from.Read(ctx, state.Stream, 0, entriesPage)
	if err != nil {
		return err
	}
	if state.Seq > int64(len(page)) {
		if state.Seq, err = b.lastOf(ctx, state); err != nil {
			return err
		}
	} else {
		state.Seq = int64(sort.Search(len(page), func(i int) bool { return page[i].At > b.end.Position }))
	}
	if state.Seq == 0 {
		return nil
	}
	state.First = min(state.First, state.Seq)
	if err := b.begin(state); err != nil {
		return err
	}
	for after := int64(0); after < state.Seq; {
		if after > 0 {
			if page, err = b.from.Read(ctx, state.Stream, after, entriesPage); err != nil {
				return err
			}
		}
		if err := b.entries(state, after, page); err != nil {
			return err
		}
		if after += int64(len(page)); len(page) == 0 {
			return fmt.Errorf("%s: entry %d is missing", state.Stream, after+1)
		}
		if err := b.pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// lastOf returns the seq of a long stream's last entry up to the position.
func (b *writer) lastOf(ctx context.Context, state bridge.StreamState) (int64, error) {
	var failed error
	later := func(seq int64) bool {
		if failed != nil {
			return true
		}
		entries, err := b.from.Read(ctx, state.Stream, seq-1, 1)
		if err == nil && (len(entries) == 0 || entries[0].Seq != seq) {
			err = fmt.Errorf("%s: entry %d is missing", state.Stream, seq)
		}
		if failed = err; err != nil {
			return true
		}
		return entries[0].At > b.end.Position
	}
	if !later(state.Seq) {
		return state.Seq, failed
	}
	n := sort.Search(int(state.Seq), func(i int) bool { return later(int64(i) + 1) })
	return int64(n), failed
}

// item puts an item into the block, and writes the block when it is full.
func (b *writer) item(kind byte, line any, data []byte) error {
	text, err := parley.EncodeBody(line)
	if err != nil {
		return err
	}
	b.block = append(b.block, kind)
	b.block = binary.BigEndian.AppendUint32(b.block, uint32(len(text)+1+len(data)))
	b.block = append(append(append(b.block, text...), '\n'), data...)
	if len(b.block) < blockBytes {
		return nil
	}
	return b.flush()
}

func (b *writer) flush() error {
	if len(b.block) == 0 {
		return nil
	}
	b.packed = b.zip.EncodeAll(b.block, b.packed[:0])
	b.block = b.block[:0]
	began := time.Now()
	err := b.frames.frame(frameData, b.packed)
	b.since = b.since.Add(time.Since(began)) // whoever takes it may be slow: that is no work
	return err
}
