// Package backup is the file that a backup of a store is: how it is written while
// the store is in use, how it is proven to be whole, and how it is read back.
//
// A file is the line Magic, then frames:
//
//	kind (1 byte) · length of the payload (4 bytes, big endian) · payload · CRC-32C of all that (4 bytes)
//
//	H  the header, JSON: first, once
//	D  data: zstd of items, about 1 MiB of them before compression
//	B  a piece of a blob, the bytes of a file that people have sent each other, as they are kept: a line
//	   of JSON, and bytes, 1 MiB at most. The pieces of a blob follow each other, all behind the data
//	X  the reason, in words, why whoever wrote broke off: the last frame, in place of E
//	E  the end, JSON: counts, and the SHA-256 of all bytes before this frame
//
// An item is its kind (1 byte), its length (4 bytes), a line of JSON, and the bytes
// behind that line, as the store has them:
//
//	r  a row of what the store keeps beside its streams; in the order of bridge.RowKinds, then of keys.
//	   The bytes are its value
//	s  a stream, how far it goes and where its history begins; in the order of names, behind all rows
//	e  an entry of the stream before it, from seq 1 on without holes. The bytes are its body
//
// All of that is usually inside of an age file (see Seal): `age -d -i KEY FILE` peels
// it, and the frames are simple enough to be read without Parley.
package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strings"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// Magic is how a backup that is not encrypted begins.
const Magic = "parley backup\n"

// Format is the newest version of the format that this package reads, and the one
// that it writes.
const Format = 1

// The kinds of frames. A Parley that does not know one of them refuses the backup
// instead of restoring less than it holds.
const (
	frameHeader = 'H'
	frameData   = 'D'
	frameBlob   = 'B'
	frameBroken = 'X'
	frameEnd    = 'E'
)

// The kinds of items.
const (
	itemRow    = 'r'
	itemStream = 's'
	itemEntry  = 'e'
	itemBlob   = frameBlob // a piece, which has a frame of its own
)

const (
	blockBytes = 1 << 20  // of items that are compressed together, about
	pieceBytes = 1 << 20  // of a blob in one frame
	maxFrame   = 64 << 20 // of a payload, and of what is in it decompressed
	frameHead  = 5
)

// Warning is in every header.
const Warning = "This file holds everything: messages, accounts, and the secret keys that tokens and digests are made with. Keep it as you keep the server."

// Header is what a backup says of itself at its beginning.
type Header struct {
	Format  int       `json:"format"`
	Made    time.Time `json:"made"`   // when it was begun: what was acknowledged before is in it
	Parley  string    `json:"parley"` // version of the program
	Store   string    `json:"store"`  // sqlite or mongodb
	Epoch   string    `json:"epoch"`  // of that store
	Files   bool      `json:"files"`  // whether the bytes of files are in it
	Warning string    `json:"warning"`

	// About how much there is, for whoever shows progress; 0 is unknown.
	AboutStreams int64 `json:"aboutStreams,omitempty"`
	AboutEntries int64 `json:"aboutEntries,omitempty"`
}

// Counts is how much is in a backup.
type Counts struct {
	Streams int64 `json:"streams"`
	Entries int64 `json:"entries"`
	Rows    int64 `json:"rows"`

	Blobs     int64 `json:"blobs,omitempty"` // files and thumbnails
	BlobBytes int64 `json:"blobBytes,omitempty"`
	Lost      int64 `json:"lost,omitempty"` // blobs that are missing where they should be, or damaged
	Left      int64 `json:"left,omitempty"` // files whose bytes were left out
}

// End is what a backup says of itself at its end.
type End struct {
	Counts

	// Position is the server time, in Unix milliseconds, up to which all entries are
	// in it and behind which none is, but of the store's own streams.
	Position int64  `json:"position"`
	SHA256   string `json:"sha256"`

	LostNames string `json:"lostNames,omitempty"` // of the first blobs that were lost
}

// The lines of items.
type (
	rowLine struct {
		Kind bridge.RowKind `json:"kind"`
		Key  string         `json:"key"`
	}
	streamLine struct {
		Stream parley.Stream `json:"stream"`
		Seq    int64         `json:"seq"`
		First  int64         `json:"first,omitempty"`
	}
	entryLine struct {
		Seq      int64            `json:"seq"`
		ID       string           `json:"id"`
		Sender   string           `json:"sender"`
		Device   string           `json:"device,omitempty"`
		Role     parley.Role      `json:"role,omitempty"`
		Type     parley.EntryType `json:"type"`
		At       int64            `json:"at"`
		Count    int64            `json:"count,omitempty"`
		Digest   []byte           `json:"digest,omitempty"`
		Redacted bool             `json:"redacted,omitempty"`
	}
	blobLine struct {
		Name   string `json:"name"`
		Size   int64  `json:"size"` // of the blob
		At     int64  `json:"at"`   // where the piece begins
		Last   bool   `json:"last,omitempty"`
		SHA256 string `json:"sha256,omitempty"` // of the blob, in its last piece
		Lost   bool   `json:"lost,omitempty"`   // it could not be read to its end: there is no such blob
	}
)

// storesOwn reports whether a stream is one that the store keeps for itself, such as its
// data keys (see bridge/seal): no site and no topic is called so. What is cut from it has
// been replaced by something behind it, so that the end of it is needed, whatever its time.
func storesOwn(s parley.Stream) bool { return strings.HasPrefix(string(s), "$") }

func lineOf(e *parley.Entry) entryLine {
	return entryLine{e.Seq, e.ID, e.Sender, e.Device, e.Role, e.Type, e.At, e.Count, e.Digest, e.Redacted}
}

func (l *entryLine) entry(stream parley.Stream, body []byte) parley.Entry {
	return parley.Entry{
		Stream: stream, Seq: l.Seq, ID: l.ID, Sender: l.Sender, Device: l.Device, Role: l.Role, Type: l.Type,
		Body: body, At: l.At, Count: l.Count, Digest: l.Digest, Redacted: l.Redacted,
	}
}

// The errors that every reader of a backup may meet. They are wrapped with details.
var (
	ErrForeign = errors.New("this is not a backup of Parley")
	ErrCutOff  = errors.New("the backup is cut off: its end is missing. Use another one; most likely its making or its copying was interrupted")
	ErrDamaged = errors.New("the backup is damaged: some of its bytes are not those that were written. Use another copy of it, or another backup")
	ErrNewer   = errors.New("the backup was made by a newer version of Parley: use that version")
	ErrBroken  = errors.New("whoever made the backup broke off")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frameWriter writes frames, and sums all bytes up.
type frameWriter struct {
	w   io.Writer
	sum hash.Hash
}

func newFrameWriter(w io.Writer) (*frameWriter, error) {
	f := &frameWriter{w: w, sum: sha256.New()}
	return f, f.write([]byte(Magic))
}

func (f *frameWriter) write(p []byte) error {
	_, _ = f.sum.Write(p) // never fails
	_, err := f.w.Write(p)
	return err
}

func (f *frameWriter) frame(kind byte, payload []byte) error {
	if len(payload) > maxFrame {
		return fmt.Errorf("a frame of %d bytes is too long", len(payload))
	}
	head := [frameHead]byte{0: kind}
	binary.BigEndian.PutUint32(head[1:], uint32(len(payload)))
	crc := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, payload)
	for _, part := range [][]byte{head[:], payload, binary.BigEndian.AppendUint32(nil, crc)} {
		if err := f.write(part); err != nil {
			return err
		}
	}
	return nil
}

// frameReader reads frames, and proves each.
type frameReader struct {
	r   *bufio.Reader
	sum hash.Hash
	at  int64 // bytes read
	buf []byte
}

func newFrameReader(r io.Reader) (*frameReader, error) {
	f := &frameReader{r: bufio.NewReaderSize(r, 1<<18), sum: sha256.New()}
	magic, err := f.read(len(Magic))
	if err != nil && !errors.Is(err, ErrCutOff) {
		return nil, err
	}
	if err != nil || !bytes.Equal(magic, []byte(Magic)) {
		return nil, ErrForeign
	}
	_, _ = f.sum.Write(magic)
	return f, nil
}

// read reads n bytes, which are valid until the next read.
func (f *frameReader) read(n int) ([]byte, error) {
	if cap(f.buf) < n {
		f.buf = make([]byte, n)
	}
	f.buf = f.buf[:n]
	got, err := io.ReadFull(f.r, f.buf)
	f.at += int64(got)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%w (after %d bytes)", ErrCutOff, f.at)
	}
	return f.buf, err
}

// next returns a frame, and the SHA-256 of what came before it. The payload is valid
// until the next call.
func (f *frameReader) next() (kind byte, payload []byte, before []byte, err error) {
	began := f.at
	before = f.sum.Sum(nil)
	p, err := f.read(frameHead)
	if err != nil {
		return 0, nil, nil, err
	}
	head := [frameHead]byte(p)
	length := binary.BigEndian.Uint32(head[1:])
	if length > maxFrame {
		return 0, nil, nil, fmt.Errorf("%w (at byte %d)", ErrDamaged, began)
	}
	if p, err = f.read(int(length) + 4); err != nil {
		return 0, nil, nil, err
	}
	payload = p[:length]
	crc := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, payload)
	if binary.BigEndian.Uint32(p[length:]) != crc {
		return 0, nil, nil, fmt.Errorf("%w (at byte %d)", ErrDamaged, began)
	}
	_, _ = f.sum.Write(head[:])
	_, _ = f.sum.Write(p)
	return head[0], payload, before, nil
}

// end fails unless there is nothing more.
func (f *frameReader) end() error {
	_, err := f.r.ReadByte()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w (something follows behind its end, at byte %d)", ErrDamaged, f.at)
}
