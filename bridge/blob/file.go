package blob

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// A file is blocks of 64 KiB, the last one shorter or empty, each with a CRC-32C
// behind it: of the blob's name, the number of the block, whether it is the last, and
// its bytes. So neither a flipped bit nor a block, an end or a whole file at the wrong
// place is read as what it is not.
const (
	blockSize = 64 << 10
	sumSize   = 4
)

// ErrDamaged is what reading a blob fails with that is not what was written.
var ErrDamaged = errors.New("the file is damaged")

func blockSum(name string, number int64, last bool, block []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	head := binary.BigEndian.AppendUint64([]byte(name), uint64(number))
	if last {
		head = append(head, 1)
	} else {
		head = append(head, 0)
	}
	return crc32.Update(crc32.Checksum(head, table), table, block)
}

// blockWriter writes blocks. One is kept back until it is known whether it is the
// last.
type blockWriter struct {
	w      io.Writer
	name   string
	number int64
	block  []byte
}

func newBlockWriter(w io.Writer, name string) *blockWriter {
	return &blockWriter{w: w, name: name, block: make([]byte, 0, blockSize+sumSize)}
}

func (b *blockWriter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if len(b.block) == blockSize {
			if err := b.flush(false); err != nil {
				return n, err
			}
		}
		take := min(blockSize-len(b.block), len(p)-n)
		b.block = append(b.block, p[n:n+take]...)
		n += take
	}
	return n, nil
}

func (b *blockWriter) flush(last bool) error {
	sum := blockSum(b.name, b.number, last, b.block)
	_, err := b.w.Write(binary.BigEndian.AppendUint32(b.block, sum))
	b.block, b.number = b.block[:0], b.number+1
	return err
}

func (b *blockWriter) finish() error { return b.flush(true) }

// blockReader reads blocks.
type blockReader struct {
	f      *os.File
	name   string
	blocks int64
	size   int64 // of the blob
	at     int64
	held   int64 // number of the block that is in block, -1 if none is
	block  []byte
}

func newBlockReader(f *os.File, name string) (*blockReader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	const whole = blockSize + sumSize
	length := info.Size()
	blocks := (length + whole - 1) / whole
	if length < sumSize || length-(blocks-1)*whole < sumSize {
		return nil, ErrDamaged
	}
	return &blockReader{f: f, name: name, blocks: blocks, size: length - blocks*sumSize, held: -1, block: make([]byte, whole)}, nil
}

func (b *blockReader) Read(p []byte) (int, error) {
	if b.at >= b.size && b.size > 0 {
		return 0, io.EOF
	}
	number := b.at / blockSize
	if err := b.load(number); err != nil {
		return 0, err
	}
	if b.size == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.block[b.at%blockSize:b.length(number)])
	b.at += int64(n)
	return n, nil
}

func (b *blockReader) length(number int64) int64 { return min(blockSize, b.size-number*blockSize) }

func (b *blockReader) load(number int64) error {
	if number == b.held {
		return nil
	}
	length := b.length(number)
	b.held = -1
	if _, err := b.f.ReadAt(b.block[:length+sumSize], number*(blockSize+sumSize)); err != nil {
		return fmt.Errorf("read blob: %w", err)
	}
	sum := binary.BigEndian.Uint32(b.block[length:])
	if sum != blockSum(b.name, number, number == b.blocks-1, b.block[:length]) {
		return fmt.Errorf("%s, block %d: %w", b.name, number, ErrDamaged)
	}
	b.held = number
	return nil
}

// Seek implements io.Seeker.
func (b *blockReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	b.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (b *blockReader) Close() error { return b.f.Close() }
