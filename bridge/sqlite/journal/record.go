package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// A record is one batch:
//
//	offset  bytes
//	0       8  the segment's salt: says that the record belongs to this use of the file
//	8       8  batch number
//	16      4  length of the payload
//	20      4  CRC-32C of the payload
//	24      4  CRC-32 (IEEE) of the payload
//	28      4  CRC-32C of the 28 bytes before
//	32         payload
//
// Two checksums of the payload together are evidence enough to put a flipped
// bit right; see repair.go.

// Room is how many bytes a caller of Append leaves free in front of the payload.
const Room = 32

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the decoded head of a record.
type header struct {
	batch      uint64
	length     int
	castagnoli uint32
	ieee       uint32
}

// seal writes the head of a record in front of its payload.
func seal(record []byte, salt, batch uint64) {
	payload := record[Room:]
	binary.LittleEndian.PutUint64(record[0:], salt)
	binary.LittleEndian.PutUint64(record[8:], batch)
	binary.LittleEndian.PutUint32(record[16:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(record[20:], crc32.Checksum(payload, castagnoli))
	binary.LittleEndian.PutUint32(record[24:], crc32.ChecksumIEEE(payload))
	binary.LittleEndian.PutUint32(record[28:], crc32.Checksum(record[:28], castagnoli))
}

// parseHeader reads the head of a record of the segment with this salt.
func parseHeader(b []byte, salt uint64) (h header, ok bool) {
	if len(b) < Room || binary.LittleEndian.Uint64(b) != salt ||
		binary.LittleEndian.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli) {
		return header{}, false
	}
	return header{
		batch:      binary.LittleEndian.Uint64(b[8:]),
		length:     int(binary.LittleEndian.Uint32(b[16:])),
		castagnoli: binary.LittleEndian.Uint32(b[20:]),
		ieee:       binary.LittleEndian.Uint32(b[24:]),
	}, true
}

// payload returns the payload behind h, if b holds all of it, unchanged.
func (h *header) payload(b []byte) (payload []byte, ok bool) {
	if len(b)-Room < h.length {
		return nil, false
	}
	payload = b[Room : Room+h.length]
	return payload, crc32.Checksum(payload, castagnoli) == h.castagnoli && crc32.ChecksumIEEE(payload) == h.ieee
}

// later reports whether b holds the head of a record of a batch above batch. It
// was written after the one at the beginning of b had become durable.
func later(b []byte, salt, batch uint64) bool {
	var mark [8]byte
	binary.LittleEndian.PutUint64(mark[:], salt)
	for {
		i := bytes.Index(b, mark[:])
		if i < 0 {
			return false
		}
		if h, ok := parseHeader(b[i:], salt); ok && h.batch > batch {
			return true
		}
		b = b[i+1:]
	}
}
