package seal

import (
	"context"
	"encoding/binary"
	"strconv"
)

// Sizes of what Blocks adds, in bytes.
const (
	BlockHeaderSize = 9                   // in front of a file, once
	BlockOverhead   = nonceSize + tagSize // of every block
)

// ErrDamaged is what opening a block fails with that is not what was sealed there.
var ErrDamaged = errCiphertext

// Blocks seals the blocks of one file, whose sizes are the caller's business. A block
// opens only in that file, at that index, and as the last one only if it is. It is safe
// for concurrent use.
type Blocks struct {
	key        *dataKey
	site, name string
}

// NewBlocks returns what seals a new file of a site; name is unique in the site. The
// file begins with the header, which says what opens it. For a site that is not sealed,
// both are nil.
func (s *Store) NewBlocks(ctx context.Context, site, name string) (b *Blocks, header []byte, err error) {
	k, err := s.writing(ctx, site)
	if err != nil || k == nil {
		return nil, nil, err
	}
	header = binary.BigEndian.AppendUint64([]byte{version}, k.newest.number)
	return &Blocks{key: k.newest, site: site, name: name}, header, nil
}

// OpenBlocks returns what opens a file of a site that begins with that header. It fails
// with ErrDamaged.
func (s *Store) OpenBlocks(site, name string, header []byte) (*Blocks, error) {
	if len(header) != BlockHeaderSize || header[0] != version {
		return nil, ErrDamaged
	}
	number := binary.BigEndian.Uint64(header[1:])
	key, err := s.site(site).key(number)
	if err != nil { // another server may have made it
		s.look(ref{site, number})
		key, err = s.site(site).key(number)
	}
	if err != nil {
		return nil, ErrDamaged
	}
	return &Blocks{key: key, site: site, name: name}, nil
}

// Seal appends a block as it is stored to dst: BlockOverhead bytes longer.
func (b *Blocks) Seal(dst, block []byte, index int64, last bool) []byte {
	return b.key.blocks.seal(dst, block, b.place(index, last))
}

// Open appends a block as it was to dst. It fails with ErrDamaged.
func (b *Blocks) Open(dst, sealed []byte, index int64, last bool) ([]byte, error) {
	return b.key.blocks.open(dst, sealed, b.place(index, last))
}

func (b *Blocks) place(index int64, last bool) []byte {
	return about("block", b.site, b.name, strconv.FormatInt(index, 10), strconv.FormatBool(last))
}
