package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A segment is one file of the journal. It begins with a block:
//
//	offset  bytes
//	0       8  magic
//	8       8  number of the segment
//	16      8  salt
//	24      8  number of the first batch
//	32      8  how many bytes of the predecessor are valid
//	40      1  length of the epoch
//	41     64  epoch
//	105     3  zero
//	108     4  CRC-32C of the 108 bytes before
//
// A segment gets its name when the block is durable, so a block that is not
// sound is damage.
const (
	blockSize  = 512 // records begin behind it
	blockUsed  = 112
	maxEpoch   = 64
	filePrefix = "journal-"
	freePrefix = "journal-free-"
)

const magic = "PRLYJRN1"

// block is the decoded beginning of a segment.
type block struct {
	number     uint64
	salt       uint64
	firstBatch uint64
	before     int64 // valid bytes of the predecessor, 0 if there is none
	epoch      string
}

func (b *block) encode() []byte {
	data := make([]byte, blockSize)
	copy(data, magic)
	binary.LittleEndian.PutUint64(data[8:], b.number)
	binary.LittleEndian.PutUint64(data[16:], b.salt)
	binary.LittleEndian.PutUint64(data[24:], b.firstBatch)
	binary.LittleEndian.PutUint64(data[32:], uint64(b.before))
	data[40] = byte(len(b.epoch))
	copy(data[41:41+maxEpoch], b.epoch)
	binary.LittleEndian.PutUint32(data[108:], crc32.Checksum(data[:108], castagnoli))
	return data
}

var errBlock = errors.New("the beginning of the file is damaged")

// decodeBlock reads the beginning of a segment. A single flipped bit is put
// right in data, and told.
func decodeBlock(data []byte) (b block, repaired bool, err error) {
	if len(data) < blockSize {
		return b, false, errBlock
	}
	if b, ok := parseBlock(data); ok {
		return b, false, nil
	}
	for bit := range blockUsed * 8 {
		flip(data, bit)
		if b, ok := parseBlock(data); ok {
			return b, true, nil
		}
		flip(data, bit)
	}
	return b, false, errBlock
}

func parseBlock(data []byte) (b block, ok bool) {
	length := int(data[40])
	if string(data[:8]) != magic || length > maxEpoch ||
		binary.LittleEndian.Uint32(data[108:]) != crc32.Checksum(data[:108], castagnoli) {
		return b, false
	}
	return block{
		number:     binary.LittleEndian.Uint64(data[8:]),
		salt:       binary.LittleEndian.Uint64(data[16:]),
		firstBatch: binary.LittleEndian.Uint64(data[24:]),
		before:     int64(binary.LittleEndian.Uint64(data[32:])),
		epoch:      string(data[41 : 41+length]),
	}, true
}

// segmentFile returns the path of a segment.
func segmentFile(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%06d", filePrefix, number))
}

// segments lists the numbers of the segments in dir, in order, and the files
// that wait to be used again.
func segments(dir string) (numbers []uint64, free []string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("list the journal: %w", err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), freePrefix) {
			free = append(free, filepath.Join(dir, f.Name()))
			continue
		}
		digits, ok := strings.CutPrefix(f.Name(), filePrefix)
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, free, nil
}
