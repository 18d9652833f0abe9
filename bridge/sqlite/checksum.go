package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/parley-chat/parley"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged marks what was read and cannot be what was written.
var errDamaged = errors.New("the database is not what was written")

// entrySum is the checksum that a row of entries carries: over the entry's
// columns and the name of its stream. scratch is overwritten.
func entrySum(scratch *[]byte, e *parley.Entry) int64 {
	b := (*scratch)[:0]
	for _, n := range [...]int64{e.Seq, e.At, e.Count} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	for _, field := range [...]string{string(e.Stream), e.ID, e.Sender, e.Device, string(e.Role), string(e.Type)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(e.Body)))
	b = append(b, e.Body...)
	b = append(b, e.Digest...)
	if e.Redacted {
		b = append(b, 1)
	}
	*scratch = b
	return int64(crc32.Checksum(b, castagnoli))
}

// checkEntry compares a row with its checksum.
func checkEntry(scratch *[]byte, e *parley.Entry, sum int64) error {
	if entrySum(scratch, e) != sum {
		return fmt.Errorf("%w: entry %d of %s does not match its checksum", errDamaged, e.Seq, e.Stream)
	}
	return nil
}

// streamSum is the checksum of a row of streams. One that was never cut has that
// of the rows from before there were cuts.
func streamSum(id, control, first int64, name string) int64 {
	b := make([]byte, 0, 24+len(name))
	b = binary.LittleEndian.AppendUint64(b, uint64(id))
	b = binary.LittleEndian.AppendUint64(b, uint64(control))
	if first > 0 {
		b = binary.LittleEndian.AppendUint64(b, uint64(first))
	}
	return int64(crc32.Checksum(append(b, name...), castagnoli))
}

func checkStream(id, control, first int64, name string, sum int64) error {
	if streamSum(id, control, first, name) != sum {
		return fmt.Errorf("%w: the row of stream %s does not match its checksum", errDamaged, name)
	}
	return nil
}

// checkDense reports a hole in a page of a stream: its first entry has to have
// seq first.
func checkDense(entries []parley.Entry, first int64) error {
	for i := range entries {
		if want := first + int64(i); entries[i].Seq != want {
			return fmt.Errorf("%w: entry %d of %s is missing", errDamaged, want, entries[i].Stream)
		}
	}
	return nil
}
