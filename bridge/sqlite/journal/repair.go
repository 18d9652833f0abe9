package journal

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// A write that a crash has torn lacks a sector or more. A disk that loses a bit
// changes just that. So a record that is sound again when one bit is turned was
// complete, and perhaps acknowledged: it must not be taken for a torn one. With
// 64 bits of checksums, a torn record looks like this once in 10^12 at most.

// repair puts one flipped bit at the beginning of b right, where that makes it
// the record of batch. It reports whether it did; if not, b is unchanged.
func repair(b []byte, salt, batch uint64) bool {
	if len(b) < Room {
		return false
	}
	h, ok := parseHeader(b, salt)
	if !ok {
		return repairHeader(b, salt, batch)
	}
	if h.batch != batch || len(b)-Room < h.length {
		return false
	}
	payload := b[Room : Room+h.length]
	bit := flipped(len(payload), crc32.Checksum(payload, castagnoli)^h.castagnoli, crc32.ChecksumIEEE(payload)^h.ieee)
	if bit < 0 {
		return false
	}
	flip(payload, bit)
	return true
}

// repairHeader tries every bit. The payload behind it has to be sound.
func repairHeader(b []byte, salt, batch uint64) bool {
	if bits.OnesCount64(binary.LittleEndian.Uint64(b)^salt) > 1 {
		return false
	}
	for bit := range Room * 8 {
		flip(b, bit)
		if h, ok := parseHeader(b, salt); ok && h.batch == batch {
			if _, ok := h.payload(b); ok {
				return true
			}
		}
		flip(b, bit)
	}
	return false
}

func flip(b []byte, bit int) { b[bit/8] ^= 1 << (bit % 8) }

// flipped returns which bit of size bytes, turned, changes the two checksums by
// these differences, or -1. Both are linear: what a bit changes depends only on
// how far it is from the end, and is one step of the register from its
// neighbour's.
func flipped(size int, castagnoliDiff, ieeeDiff uint32) int {
	c, i := uint32(1), uint32(1)
	for at := size*8 - 1; at >= 0; at-- {
		c, i = step(c, crc32.Castagnoli), step(i, crc32.IEEE)
		if c == castagnoliDiff && i == ieeeDiff {
			return at
		}
	}
	return -1
}

// step moves a reflected CRC register by one bit.
func step(register, polynomial uint32) uint32 {
	return register>>1 ^ polynomial&-(register&1)
}
