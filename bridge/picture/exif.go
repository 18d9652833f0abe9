package picture

import (
	"encoding/binary"
)

const tagOrientation = 0x0112

// readOrientation finds how a picture is to be turned in the TIFF part of its EXIF
// data; 0 if that is not said, or nonsense.
func readOrientation(tiff []byte) orientation {
	if len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.BigEndian
	if string(tiff[:2]) == "II" {
		order = binary.LittleEndian
	} else if string(tiff[:2]) != "MM" {
		return 0
	}
	start := int64(order.Uint32(tiff[4:]))
	if start+2 > int64(len(tiff)) {
		return 0
	}
	fields := tiff[start+2:]
	for range order.Uint16(tiff[start:]) {
		if len(fields) < 12 {
			return 0
		}
		if order.Uint16(fields) == tagOrientation {
			if o := order.Uint16(fields[8:]); o >= 1 && o <= 8 {
				return orientation(o)
			}
			return 0
		}
		fields = fields[12:]
	}
	return 0
}

// tiff returns EXIF data that say how to turn a picture, and nothing else.
func (o orientation) tiff() []byte {
	return []byte{
		'M', 'M', 0, 42, 0, 0, 0, 8, // the first directory follows
		0, 1, // with one field
		tagOrientation >> 8, tagOrientation & 0xff, 0, 3, 0, 0, 0, 1, 0, byte(o), 0, 0, // a short
		0, 0, 0, 0, // and is the last
	}
}
