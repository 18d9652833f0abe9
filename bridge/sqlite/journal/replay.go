package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Damage says where a journal is broken in a way that no crash explains.
type Damage struct {
	File   string
	Offset int64
	Reason string
}

func (d *Damage) Error() string {
	return fmt.Sprintf("the journal is damaged: %s in %s at offset %d", d.Reason, filepath.Base(d.File), d.Offset)
}

// Found tells what Replay has read.
type Found struct {
	Position
	Segments int
	Batches  int   // passed on
	Torn     int64 // bytes at the end that a crash left of a batch nobody was told of
	Repaired int   // single flipped bits that were put right
}

// Replay passes the payloads of all batches above applied on, in order. The
// payload is valid only during the call. A batch that was being written when
// the process died is cut off; anything else that is not sound is a *Damage.
func Replay(dir, epoch string, applied uint64, apply func(payload []byte) error) (Found, error) {
	r := replay{dir: dir, applied: applied, apply: apply}
	r.found.Batch = applied
	numbers, _, err := segments(dir)
	if err != nil {
		return Found{}, err
	}
	blocks := make([]block, len(numbers))
	for i, n := range numbers {
		if blocks[i], err = r.block(n, epoch); err != nil {
			return Found{}, err
		}
		if err := r.follows(blocks[:i+1]); err != nil {
			return Found{}, err
		}
	}
	for i := range blocks {
		limit := int64(-1)
		if i+1 < len(blocks) {
			limit = blocks[i+1].before
		}
		if err := r.segment(&blocks[i], limit); err != nil {
			return Found{}, err
		}
	}
	r.found.Segments = len(blocks)
	return r.found, nil
}

type replay struct {
	dir     string
	applied uint64
	apply   func(payload []byte) error
	found   Found
	batch   uint64 // the last one seen
}

// block reads the beginning of a segment.
func (r *replay) block(number uint64, epoch string) (block, error) {
	name := segmentFile(r.dir, number)
	f, err := os.Open(name)
	if err != nil {
		return block{}, fmt.Errorf("read the journal: %w", err)
	}
	defer func() { _ = f.Close() }()
	data := make([]byte, blockSize)
	if _, err := io.ReadFull(f, data); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return block{}, fmt.Errorf("read the journal: %w", err)
	}
	b, repaired, err := decodeBlock(data)
	if err != nil {
		return block{}, &Damage{File: name, Reason: err.Error()}
	}
	if repaired {
		r.found.Repaired++
	}
	if b.epoch != epoch {
		return block{}, fmt.Errorf("%s belongs to another store: its epoch is %s, the database's is %s; put back the files that belong together", name, b.epoch, epoch)
	}
	if b.number != number {
		return block{}, &Damage{File: name, Reason: fmt.Sprintf("segment %d under the name of another", b.number)}
	}
	return b, nil
}

// follows checks that nothing is missing before the last block.
func (r *replay) follows(blocks []block) error {
	last := &blocks[len(blocks)-1]
	name := segmentFile(r.dir, last.number)
	if len(blocks) == 1 {
		if last.firstBatch > r.applied+1 {
			return &Damage{File: name, Reason: fmt.Sprintf("batches %d to %d are missing: they are neither in the database nor in a file before this one", r.applied+1, last.firstBatch-1)}
		}
		r.batch = last.firstBatch - 1
		return nil
	}
	if before := blocks[len(blocks)-2].number; last.number != before+1 {
		return &Damage{File: name, Reason: fmt.Sprintf("segments %d to %d before this one are missing", before+1, last.number-1)}
	}
	return nil
}

// segment reads one file. limit is how much of it is valid, -1 if nobody knows.
func (r *replay) segment(b *block, limit int64) error {
	name := segmentFile(r.dir, b.number)
	data, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	if b.firstBatch != r.batch+1 {
		return &Damage{File: name, Reason: fmt.Sprintf("begins with batch %d instead of %d", b.firstBatch, r.batch+1)}
	}
	if limit >= 0 {
		if limit > int64(len(data)) {
			return &Damage{File: name, Offset: int64(len(data)), Reason: fmt.Sprintf("%d bytes are missing", limit-int64(len(data)))}
		}
		data = data[:limit]
	}
	offset := int64(blockSize)
	for limit < 0 || offset < limit {
		payload, reason := r.record(data[offset:], b.salt)
		if reason != "" {
			return &Damage{File: name, Offset: offset, Reason: reason}
		}
		if payload == nil {
			if limit >= 0 {
				return &Damage{File: name, Offset: offset, Reason: "broken batch"}
			}
			break
		}
		if err := r.pass(payload); err != nil {
			return fmt.Errorf("replay %s at offset %d: %w", name, offset, err)
		}
		offset += int64(Room + len(payload))
	}
	r.found.Segment, r.found.Valid = b.number, offset
	return nil
}

// record reads the next batch at the beginning of data. payload is nil at the
// end of what was written; reason says why that cannot be the end.
func (r *replay) record(data []byte, salt uint64) (payload []byte, reason string) {
	h, whole := parseHeader(data, salt)
	if whole {
		payload, whole = h.payload(data)
	}
	if !whole && repair(data, salt, r.batch+1) {
		r.found.Repaired++
		h, _ = parseHeader(data, salt)
		payload, whole = h.payload(data)
	}
	switch {
	case whole && h.batch != r.batch+1:
		return nil, fmt.Sprintf("batch %d where %d should be", h.batch, r.batch+1)
	case whole:
		return payload, ""
	case later(data, salt, r.batch+1):
		return nil, "broken batch in front of a later one"
	}
	if h, ok := parseHeader(data, salt); ok {
		r.found.Torn = int64(Room + h.length)
	}
	return nil, ""
}

func (r *replay) pass(payload []byte) error {
	r.batch++
	if r.batch <= r.applied {
		return nil
	}
	r.found.Batch = r.batch
	r.found.Batches++
	return r.apply(payload)
}
