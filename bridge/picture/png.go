package picture

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

// stripPNG keeps the chunks that a picture is shown with, those of animations too,
// and drops the others and what comes behind the end.
func stripPNG(data []byte) ([]byte, orientation, error) {
	keep := []string{
		"IHDR", "PLTE", "IDAT", "IEND", "tRNS", "cHRM", "gAMA", "iCCP", "sBIT", "sRGB", "cICP", "bKGD", "pHYs", "acTL", "fcTL", "fdAT",
	}
	var turn orientation
	out := []byte(pngSignature)
	for rest := data[min(len(pngSignature), len(data)):]; len(rest) >= 12; {
		length := uint64(binary.BigEndian.Uint32(rest))
		if length > uint64(len(rest)-12) {
			break
		}
		chunk, name := rest[:length+12], string(rest[4:8])
		rest = rest[len(chunk):]
		if name == "eXIf" && turn == 0 {
			turn = readOrientation(chunk[8 : len(chunk)-4])
		}
		if !slices.Contains(keep, name) {
			continue
		}
		if name == "IEND" {
			if turn > 1 {
				out = appendChunk(out, "eXIf", turn.tiff())
			}
			return appendChunk(out, "IEND", nil), turn, nil
		}
		out = append(out, chunk...)
	}
	return nil, 0, ErrDamaged
}

func appendChunk(out []byte, name string, body []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	sum := crc32.ChecksumIEEE(append([]byte(name), body...))
	return binary.BigEndian.AppendUint32(append(append(out, name...), body...), sum)
}
