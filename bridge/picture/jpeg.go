package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"slices"
)

// Markers of JPEG.
const (
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerSOF2 = 0xc2 // a progressive picture
	markerAPP0 = 0xe0
	markerAPPF = 0xef
)

// maxScans bounds how often a file goes over its whole picture. Encoders make about
// ten scans; of thousands, small ones, a decoder never comes to an end.
const maxScans = 64

// stripJPEG keeps what the picture is decoded with, and of the application segments
// those that say how its colours are meant. What comes behind its end is dropped.
func stripJPEG(data []byte) ([]byte, orientation, error) {
	if len(data) < 2 || data[0] != 0xff || data[1] != markerSOI {
		return nil, 0, ErrDamaged
	}
	var kept []byte
	var turn orientation
	scans := 0
	for rest := data[2:]; ; {
		marker, segment, behind, ok := nextSegment(rest)
		if !ok {
			return nil, 0, ErrDamaged
		}
		switch {
		case marker == markerEOI:
			out := []byte{0xff, markerSOI}
			if turn > 1 {
				exif := append([]byte("Exif\x00\x00"), turn.tiff()...)
				out = append(out, 0xff, markerAPP0+1)
				out = append(binary.BigEndian.AppendUint16(out, uint16(len(exif)+2)), exif...)
			}
			return slices.Concat(out, kept, []byte{0xff, markerEOI}), turn, nil
		case marker == markerAPP0+1 && bytes.HasPrefix(segment[4:], []byte("Exif\x00\x00")) && turn == 0:
			turn = readOrientation(segment[10:])
		case marker == markerSOS:
			if scans++; scans > maxScans {
				return nil, 0, ErrDamaged
			}
			end := scanEnd(behind)
			kept = append(append(kept, segment...), behind[:end]...)
			behind = behind[end:]
		case keepsJPEG(marker, segment):
			kept = append(kept, segment...)
		}
		rest = behind
	}
}

// nextSegment cuts the next segment off, with its marker and length. That of the end
// is empty.
func nextSegment(data []byte) (marker byte, segment, behind []byte, ok bool) {
	if len(data) < 2 || data[0] != 0xff {
		return 0, nil, nil, false
	}
	for len(data) > 2 && data[1] == 0xff { // fill bytes
		data = data[1:]
	}
	marker = data[1]
	if marker == markerEOI {
		return marker, nil, nil, true
	}
	if len(data) < 4 {
		return 0, nil, nil, false
	}
	length := 2 + int(binary.BigEndian.Uint16(data[2:]))
	if marker < 0xc0 || marker >= 0xd0 && marker <= markerSOI || length < 4 || length > len(data) {
		return 0, nil, nil, false
	}
	return marker, data[:length], data[length:], true
}

// scanEnd returns where the compressed data that begin a scan end: at the next marker
// that is none of theirs, or with the file.
func scanEnd(data []byte) int {
	for i := 0; ; {
		next := bytes.IndexByte(data[i:], 0xff)
		if next < 0 || i+next+1 >= len(data) {
			return len(data)
		}
		i += next
		if m := data[i+1]; m != 0 && m != 0xff && (m < 0xd0 || m > 0xd7) {
			return i
		}
		i++
	}
}

func keepsJPEG(marker byte, segment []byte) bool {
	body := segment[4:]
	switch {
	case marker > markerAPPF: // comments, and what no decoder knows
		return false
	case marker < markerAPP0:
		return true
	case marker == markerAPP0:
		return bytes.HasPrefix(body, []byte("JFIF\x00")) && len(body) == 14 // without a thumbnail of its own
	case marker == markerAPP0+2:
		return bytes.HasPrefix(body, []byte("ICC_PROFILE\x00"))
	case marker == markerAPP0+14:
		return bytes.HasPrefix(body, []byte("Adobe"))
	}
	return false
}

// workJPEG: a progressive picture is unpacked to its coefficients, 4 bytes each, before
// it is one.
func workJPEG(data []byte, c image.Config) int {
	planes := 3
	if c.ColorModel == color.GrayModel {
		planes = 1
	} else if c.ColorModel == color.CMYKModel {
		planes = 4
	}
	for rest := data[2:]; ; {
		marker, _, behind, ok := nextSegment(rest)
		if !ok || marker == markerSOS || marker == markerEOI {
			return planes
		}
		if marker == markerSOF2 {
			return 5 * planes
		}
		rest = behind
	}
}
