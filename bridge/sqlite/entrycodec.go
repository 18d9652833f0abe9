package sqlite

import (
	"encoding/binary"
	"errors"

	"github.com/parley-chat/parley"
)

// batchVersion is the first byte of a batch in the journal.
const batchVersion = 1

// entrySize returns about how many bytes e takes in the journal.
func entrySize(e *parley.Entry) int {
	return 48 + len(e.Stream) + len(e.ID) + len(e.Sender) + len(e.Device) + len(e.Role) + len(e.Type) + len(e.Body) + len(e.Digest)
}

// encodeBatch appends the journal's form of entries to dst.
func encodeBatch(dst []byte, entries []parley.Entry) []byte {
	dst = append(dst, batchVersion)
	dst = binary.AppendUvarint(dst, uint64(len(entries)))
	for i := range entries {
		e := &entries[i]
		dst = binary.AppendUvarint(dst, uint64(e.Seq))
		dst = binary.AppendVarint(dst, e.At)
		dst = binary.AppendUvarint(dst, uint64(e.Count))
		for _, field := range [...]string{string(e.Stream), e.ID, e.Sender, e.Device, string(e.Role), string(e.Type)} {
			dst = binary.AppendUvarint(dst, uint64(len(field)))
			dst = append(dst, field...)
		}
		for _, field := range [...][]byte{e.Body, e.Digest} {
			dst = binary.AppendUvarint(dst, uint64(len(field)))
			dst = append(dst, field...)
		}
	}
	return dst
}

var errBatch = errors.New("a batch that this version of Parley cannot read; run the version that wrote it")

// decodeBatch reads what encodeBatch wrote. The entries do not refer to data.
func decodeBatch(data []byte) ([]parley.Entry, error) {
	d := decoder{data: data}
	if len(data) == 0 || data[0] != batchVersion {
		return nil, errBatch
	}
	d.data = data[1:]
	n := d.number()
	if n > uint64(len(data)) {
		return nil, errBatch
	}
	entries := make([]parley.Entry, n)
	for i := range entries {
		e := &entries[i]
		e.Seq, e.At, e.Count = int64(d.number()), d.signed(), int64(d.number())
		e.Stream, e.ID, e.Sender, e.Device = parley.Stream(d.bytes()), string(d.bytes()), string(d.bytes()), string(d.bytes())
		e.Role, e.Type = parley.Role(d.bytes()), parley.EntryType(d.bytes())
		e.Body, e.Digest = append([]byte{}, d.bytes()...), append([]byte{}, d.bytes()...)
	}
	if d.broken || len(d.data) > 0 {
		return nil, errBatch
	}
	return entries, nil
}

// decoder takes values off the front of data. What is not there is zero, and
// broken is set.
type decoder struct {
	data   []byte
	broken bool
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.data)
	d.skip(n)
	return v
}

func (d *decoder) signed() int64 {
	v, n := binary.Varint(d.data)
	d.skip(n)
	return v
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.broken, d.data = true, nil
		return
	}
	d.data = d.data[n:]
}

func (d *decoder) bytes() []byte {
	n := d.number()
	if n > uint64(len(d.data)) {
		d.broken, d.data = true, nil
		return nil
	}
	field := d.data[:n]
	d.data = d.data[n:]
	return field
}
