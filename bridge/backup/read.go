package backup

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/parley-chat/parley"
)

// Reader reads a backup from its beginning to its end.
type Reader struct {
	frames *frameReader
	zip    *zstd.Decoder
	block  []byte // items of the present frame; another frame gets other memory

	header Header
	end    End
	counts Counts
	ended  bool
	blob   blob // that is being read
}

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	frames, err := newFrameReader(r)
	if err != nil {
		return nil, err
	}
	zip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxFrame))
	if err != nil {
		return nil, fmt.Errorf("begin to decompress: %w", err)
	}
	b := &Reader{frames: frames, zip: zip}
	kind, payload, _, err := frames.next()
	switch {
	case err != nil:
		return nil, err
	case kind == frameBroken:
		return nil, fmt.Errorf("%w: %s", ErrBroken, payload)
	case kind != frameHeader:
		return nil, b.damaged("it has no header")
	}
	var format struct{ Format int }
	if json.Unmarshal(payload, &format) != nil || format.Format < 1 {
		return nil, b.damaged("its header is none")
	}
	if format.Format > Format {
		return nil, fmt.Errorf("%w (its format is %d, this one knows up to %d)", ErrNewer, format.Format, Format)
	}
	if json.Unmarshal(payload, &b.header) != nil || !parley.ValidID(b.header.Epoch) {
		return nil, b.damaged("its header is none")
	}
	return b, nil
}

// Header returns the header.
func (b *Reader) Header() Header { return b.header }

// Counts returns how much has been read.
func (b *Reader) Counts() Counts { return b.counts }

// End returns the end, once it has been read.
func (b *Reader) End() (end End, read bool) { return b.end, b.ended }

func (b *Reader) damaged(what string) error {
	return fmt.Errorf("%w (%s, at byte %d)", ErrDamaged, what, b.frames.at)
}

// item is one item. Whoever reads it may keep it.
type item struct {
	kind byte
	line []byte
	data []byte
}

// next returns the next item, io.EOF when all has been read and the end is what it
// should be. The bytes of a piece of a blob are valid until the next call.
func (b *Reader) next() (item, error) {
	for len(b.block) == 0 {
		if b.ended {
			return item{}, io.EOF
		}
		piece, err := b.frame()
		if piece != nil || err != nil {
			return orNone(piece), err
		}
	}
	if len(b.block) < frameHead {
		return item{}, b.damaged("an item is too short")
	}
	kind, length := b.block[0], int64(binary.BigEndian.Uint32(b.block[1:]))
	rest := b.block[frameHead:]
	if length > int64(len(rest)) {
		return item{}, b.damaged("an item is too long")
	}
	line, data, ok := bytes.Cut(rest[:length], []byte("\n"))
	if !ok {
		return item{}, b.damaged("an item has no line")
	}
	b.block = rest[length:]
	switch kind {
	case itemRow:
		b.counts.Rows++
	case itemStream:
		b.counts.Streams++
	case itemEntry:
		b.counts.Entries++
	default:
		return item{}, fmt.Errorf("%w (it has items of a kind that this one does not know)", ErrNewer)
	}
	return item{kind, line, data}, nil
}

func orNone(piece *item) item {
	if piece == nil {
		return item{}
	}
	return *piece
}

// frame reads a frame. A piece of a blob is an item by itself.
func (b *Reader) frame() (piece *item, err error) {
	kind, payload, before, err := b.frames.next()
	if err != nil {
		return nil, err
	}
	switch kind {
	case frameData:
		if b.block, err = b.zip.DecodeAll(payload, nil); err != nil || b.blob.begun {
			return nil, b.damaged("it does not decompress, or is not in its order")
		}
		return nil, nil
	case frameBlob:
		return b.takePiece(payload)
	case frameEnd:
		return nil, b.finish(payload, before)
	case frameBroken:
		return nil, fmt.Errorf("%w: %s", ErrBroken, payload)
	}
	return nil, fmt.Errorf("%w (it has frames of a kind that this one does not know)", ErrNewer)
}

// finish compares the end with what has been read.
func (b *Reader) finish(payload, before []byte) error {
	if json.Unmarshal(payload, &b.end) != nil {
		return b.damaged("its end is none")
	}
	if sum, err := hex.DecodeString(b.end.SHA256); err != nil || subtle.ConstantTimeCompare(sum, before) != 1 {
		return b.damaged("its hash is another one")
	}
	b.counts.Left = b.end.Left // which only its writer knows
	if b.end.Counts != b.counts || b.blob.name != "" {
		return b.damaged("it does not hold what its end says")
	}
	b.ended = true
	return b.frames.end()
}

// Skim reads a backup to its end, proves that it is whole, and tells after every
// MiB or so how much has been read. It does not look into what is in it.
func Skim(ctx context.Context, r io.Reader, tell func(Header, Counts)) (Header, End, error) {
	b, err := NewReader(r)
	if err != nil {
		return Header{}, End{}, err
	}
	for {
		fresh := len(b.block) == 0
		_, err := b.next()
		switch {
		case errors.Is(err, io.EOF):
			return b.header, b.end, nil
		case err != nil:
			return b.header, End{}, err
		}
		if fresh {
			if err := ctx.Err(); err != nil {
				return b.header, End{}, err
			}
			tell(b.header, b.counts)
		}
	}
}
