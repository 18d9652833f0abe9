package pages

import (
	"encoding/binary"
	"hash/crc32"
)

const (
	// Size is that of a page. SQLite has no other unless it is told to.
	Size = 4096
	// Reserve is what SQLite leaves free at the end of each page: four bytes for
	// the page's number, four for the checksum of all before them.
	Reserve = 8

	reserveAt = 20 // where the file's header says how much that is
	pagesAt   = 28 // where it says how many pages there are
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal writes the end of page: its number, the first being 1, and its checksum.
func seal(page []byte, number uint32) {
	binary.LittleEndian.PutUint32(page[Size-Reserve:], number)
	binary.LittleEndian.PutUint32(page[Size-4:], crc32.Checksum(page[:Size-4], castagnoli))
}

// sound reports whether page is what was written as the page of that number. A
// page of zeros is: SQLite leaves out pages that came and went in one
// transaction, and as part of a tree it would not do.
func sound(page []byte, number uint32) bool {
	if binary.LittleEndian.Uint32(page[Size-Reserve:]) == number &&
		binary.LittleEndian.Uint32(page[Size-4:]) == crc32.Checksum(page[:Size-4], castagnoli) {
		return true
	}
	return blank(page)
}

func blank(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Unsealed reports whether first, the first page of a database, is of one whose
// pages have no checksums. A header that lost its reserve to a flipped bit is
// not taken for one.
func Unsealed(first []byte) bool {
	return len(first) >= Size && string(first[:16]) == "SQLite format 3\x00" &&
		first[reserveAt] == 0 && binary.LittleEndian.Uint32(first[Size-Reserve:]) != 1
}
