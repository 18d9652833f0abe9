package picture

import (
	"encoding/binary"
	"slices"
)

// Flags of the chunk VP8X: what else there is.
const (
	webpXMP  = 0x04
	webpEXIF = 0x08
)

// stripWebP keeps the chunks that a picture is shown with.
func stripWebP(data []byte) ([]byte, orientation, error) {
	keep := []string{"VP8X", "VP8 ", "VP8L", "ALPH", "ANIM", "ANMF", "ICCP"}
	if len(data) < 12 || string(data[:4]) != "RIFF" || string(data[8:12]) != "WEBP" {
		return nil, 0, ErrDamaged
	}
	if length := uint64(binary.LittleEndian.Uint32(data[4:])); length+8 < uint64(len(data)) {
		data = data[:max(length+8, 12)]
	}
	var turn orientation
	out, flags := append([]byte(nil), data[:12]...), -1
	for rest := data[12:]; len(rest) >= 8; {
		size := uint64(binary.LittleEndian.Uint32(rest[4:]))
		if size > uint64(len(rest)-8) {
			return nil, 0, ErrDamaged
		}
		chunk, name := rest[:8+size], string(rest[:4])
		rest = rest[min(uint64(len(rest)), 8+size+size%2):]
		switch {
		case name == "EXIF" && turn == 0:
			turn = readOrientation(withoutPrefix(chunk[8:]))
		case name == "VP8X" && size >= 10 && flags < 0:
			flags = len(out) + 8
			out = appendRIFF(out, chunk)
		case name != "VP8X" && slices.Contains(keep, name):
			out = appendRIFF(out, chunk)
		}
	}
	if flags >= 0 {
		out[flags] &^= webpXMP | webpEXIF
		if turn > 1 {
			out[flags] |= webpEXIF
			out = appendRIFF(out, slices.Concat([]byte("EXIF"), binary.LittleEndian.AppendUint32(nil, uint32(len(turn.tiff()))), turn.tiff()))
		}
	} else {
		turn = 0 // such a file has no EXIF data
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out, turn, nil
}

// appendRIFF appends a chunk at an even place.
func appendRIFF(out, chunk []byte) []byte {
	out = append(out, chunk...)
	if len(chunk)%2 == 1 {
		out = append(out, 0)
	}
	return out
}

// withoutPrefix is for those who write EXIF data as JPEG has it.
func withoutPrefix(exif []byte) []byte {
	if len(exif) > 6 && string(exif[:6]) == "Exif\x00\x00" {
		return exif[6:]
	}
	return exif
}
