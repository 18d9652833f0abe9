package pages

import "encoding/binary"

// clearable is how many pages a file may have for its gaps to be cleared, about
// 120 GiB: beyond, what begins like a page of a tree may be one of overflow.
const clearable = 0x01e00000

// clearGap zeroes what lies unused between the cell pointers and the cells of a
// page of a tree. When SQLite splits pages it leaves copies there of rows that
// have moved, which nobody would find when the row is overwritten later; the
// secure_delete setting zeroes everything else that is set free.
func clearGap(page []byte, number uint32) {
	header := 0
	if number == 1 {
		header = 100 // behind the file's
	}
	pointers := header
	switch page[header] {
	case 2, 5: // inner pages
		pointers += 12
	case 10, 13: // leaves
		pointers += 8
	default: // overflow, or free
		return
	}
	pointers += 2 * int(binary.BigEndian.Uint16(page[header+3:]))
	cells := int(binary.BigEndian.Uint16(page[header+5:]))
	if pointers < cells && cells <= Size-Reserve {
		clear(page[pointers:cells])
	}
}
