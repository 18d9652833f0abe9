package seal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/parley-chat/parley"
)

// Blobs keeps bytes under names that begin with a site and a dot; see bridge/blob.
type Blobs interface {
	Put(ctx context.Context, name string, r io.Reader) (int64, error)
	// Open fails with fs.ErrNotExist if there is none.
	Open(ctx context.Context, name string) (io.ReadSeekCloser, int64, error)
	Delete(ctx context.Context, name string) error
	DeleteAll(ctx context.Context, group string) error
	List(ctx context.Context, until time.Time, do func(name string) error) error
}

// fileBlock is how many bytes are sealed together: a range costs one more at most.
const fileBlock = 64 << 10

// Files keeps the bytes of files: those of sealed sites are sealed before they come to
// the blobs behind, under a name that says so. What was there before its site was sealed
// is read as it is. All methods are safe for concurrent use.
//
// A sealed blob is a header, see Blocks, and blocks of 64 KiB, the last one shorter or
// empty, each BlockOverhead longer than what is in it.
type Files struct {
	store *Store
	inner Blobs
}

// Files stands in front of blobs.
func (s *Store) Files(inner Blobs) *Files { return &Files{s, inner} }

func siteOfBlob(name string) string {
	name, _, _ = strings.Cut(name, ".")
	return name
}

// Put stores what r has until its end, and returns how much that was; see bridge/blob. It
// stores nothing if it cannot be sealed.
func (f *Files) Put(ctx context.Context, name string, r io.Reader) (int64, error) {
	blocks, header, err := f.store.NewBlocks(ctx, siteOfBlob(name), name)
	if err != nil {
		return 0, fmt.Errorf("seal a file: %w", err)
	}
	if blocks == nil {
		return f.inner.Put(ctx, name, r)
	}
	sealed := &sealingReader{
		from: bufio.NewReaderSize(r, fileBlock), blocks: blocks,
		plain: make([]byte, fileBlock), ready: bytes.Clone(header),
	}
	if _, err := f.inner.Put(ctx, name+parley.SealedBlob, sealed); err != nil {
		return 0, err
	}
	return sealed.taken, f.inner.Delete(ctx, name) // of before the site was sealed
}

// Open returns a blob for reading, and its size; see bridge/blob. What was not sealed
// there by this store fails with ErrDamaged, when it is opened or read.
func (f *Files) Open(ctx context.Context, name string) (io.ReadSeekCloser, int64, error) {
	if f.store.site(siteOfBlob(name)) == nil {
		return f.inner.Open(ctx, name)
	}
	inner, size, err := f.inner.Open(ctx, name+parley.SealedBlob)
	if errors.Is(err, fs.ErrNotExist) {
		return f.inner.Open(ctx, name)
	}
	if err != nil {
		return nil, 0, err
	}
	r, err := f.open(name, inner, size)
	if err != nil {
		return nil, 0, errors.Join(err, inner.Close())
	}
	return r, r.size, nil
}

func (f *Files) open(name string, inner io.ReadSeekCloser, size int64) (*openingReader, error) {
	const whole = fileBlock + BlockOverhead
	length := size - BlockHeaderSize
	count := (length + whole - 1) / whole
	var header [BlockHeaderSize]byte
	if length < BlockOverhead || length-(count-1)*whole < BlockOverhead {
		return nil, f.damaged(name, ErrDamaged)
	}
	if _, err := io.ReadFull(inner, header[:]); err != nil {
		return nil, fmt.Errorf("open a sealed file: %w", err)
	}
	blocks, err := f.store.OpenBlocks(siteOfBlob(name), name, header[:])
	if err != nil {
		return nil, f.damaged(name, err)
	}
	return &openingReader{
		inner: inner, blocks: blocks, count: count, size: length - count*BlockOverhead,
		position: BlockHeaderSize, held: -1, sealed: make([]byte, whole), plain: make([]byte, 0, fileBlock),
		damaged: func(err error) error { return f.damaged(name, err) },
	}, nil
}

func (f *Files) damaged(name string, err error) error {
	f.store.damage("a file", err, "blob", name)
	return fmt.Errorf("open the sealed file %s: %w", name, err)
}

// Delete removes a blob, sealed or not; see bridge/blob.
func (f *Files) Delete(ctx context.Context, name string) error {
	return errors.Join(f.inner.Delete(ctx, name+parley.SealedBlob), f.inner.Delete(ctx, name))
}

// DeleteAll removes all blobs of a group; see bridge/blob.
func (f *Files) DeleteAll(ctx context.Context, group string) error {
	return f.inner.DeleteAll(ctx, group)
}

// List calls do with the names of blobs, perhaps twice with that of one that was being
// sealed; see bridge/blob.
func (f *Files) List(ctx context.Context, until time.Time, do func(name string) error) error {
	return f.inner.List(ctx, until, func(name string) error { return do(strings.TrimSuffix(name, parley.SealedBlob)) })
}

// sealingReader reads what another has, sealed.
type sealingReader struct {
	from   *bufio.Reader
	blocks *Blocks
	index  int64
	taken  int64 // bytes of from
	ended  bool

	plain, sealed []byte
	ready         []byte // of sealed, or of the header
}

func (r *sealingReader) Read(p []byte) (int, error) {
	for len(r.ready) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// next seals the next block. Whether it is the last one has to be known for that.
func (r *sealingReader) next() error {
	n, err := io.ReadFull(r.from, r.plain)
	if err == nil {
		_, err = r.from.Peek(1)
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		r.ended = true
	case err != nil:
		return err
	}
	r.taken += int64(n)
	r.sealed = r.blocks.Seal(r.sealed[:0], r.plain[:n], r.index, r.ended)
	r.ready = r.sealed
	r.index++
	return nil
}

// openingReader reads a sealed blob as it was.
type openingReader struct {
	inner    io.ReadSeekCloser
	position int64 // where inner is
	blocks   *Blocks
	count    int64 // of blocks
	size     int64 // of what was sealed
	damaged  func(error) error

	at     int64
	held   int64 // number of the block that is in plain, -1 if none is
	sealed []byte
	plain  []byte
}

// Read implements io.Reader.
func (r *openingReader) Read(p []byte) (int, error) {
	if r.at >= r.size && r.size > 0 {
		return 0, io.EOF
	}
	number := r.at / fileBlock
	if err := r.load(number); err != nil {
		return 0, err
	}
	if r.size == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.plain[r.at%fileBlock:])
	r.at += int64(n)
	return n, nil
}

func (r *openingReader) load(number int64) error {
	if number == r.held {
		return nil
	}
	r.held = -1
	from := BlockHeaderSize + number*(fileBlock+BlockOverhead)
	if from != r.position {
		if _, err := r.inner.Seek(from, io.SeekStart); err != nil {
			return fmt.Errorf("read a sealed file: %w", err)
		}
	}
	sealed := r.sealed[:BlockOverhead+min(fileBlock, r.size-number*fileBlock)]
	n, err := io.ReadFull(r.inner, sealed)
	r.position = from + int64(n)
	if err != nil {
		return fmt.Errorf("read a sealed file: %w", err)
	}
	if r.plain, err = r.blocks.Open(r.plain[:0], sealed, number, number == r.count-1); err != nil {
		r.plain = make([]byte, 0, fileBlock)
		return r.damaged(err)
	}
	r.held = number
	return nil
}

// Seek implements io.Seeker.
func (r *openingReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	r.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (r *openingReader) Close() error { return r.inner.Close() }
