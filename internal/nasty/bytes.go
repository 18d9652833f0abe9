package nasty

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"unicode/utf16"
)

// Pictures that are what they say: 16 × 8, 4 × 4 and 8 × 6 pixels.
const (
	smallJPEG = "/9j/2wCEAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgyPC4zNDIBCQkJDAsMGA0NGD" +
		"IhHCEyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMv/AAAsIAAgAEAEBEQD/xADSAAABBQEBAQEBAQAA" +
		"AAAAAAAAAQIDBAUGBwgJCgsQAAIBAwMCBAMFBQQEAAABfQECAwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKC" +
		"kqNDU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfI" +
		"ycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAAgBAQAAPwD5/or/2Q=="
	smallGIF = "R0lGODlhBAAEAIAAAAAAAP///ywAAAAABAAEAAACBISPCQUAOw=="
	smallPNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAGCAYAAAD+Bd/7AAAAE0lEQVR4nGJiIACGhAJAAAAA//8GMAANAo2eUgAAAABJRU5ErkJggg=="
)

func decoded(text string) []byte {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic("nasty: " + err.Error()) // it is a constant
	}
	return data
}

func pngChunk(name string, body []byte) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), name...)
	return binary.BigEndian.AppendUint32(append(b, body...), crc32.ChecksumIEEE(append([]byte(name), body...)))
}

// zeroPNG is a picture of nothing, which is small however large it is: valid, if it has as
// many rows as it says. depth and model are those of PNG.
func zeroPNG(width, height uint32, depth, model byte, rows, bytesPerRow int, extra ...[]byte) []byte {
	head := append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height), depth, model, 0, 0, 0)
	var b bytes.Buffer
	z, _ := zlib.NewWriterLevel(&b, zlib.BestSpeed) // which is a level
	row := make([]byte, bytesPerRow+1)
	for range rows {
		_, _ = z.Write(row) // a buffer takes everything
	}
	_ = z.Close()
	return slices.Concat([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", head), slices.Concat(extra...), pngChunk("IDAT", b.Bytes()), pngChunk("IEND", nil))
}

// segmented puts a segment into a JPEG, and something behind it.
func segmented(data []byte, marker byte, body, behind string) []byte {
	segment := append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2)), body...)
	return slices.Concat(data[:2], segment, data[2:], []byte(behind))
}

// giantJPEG says that it has 65,535 rows and columns.
func giantJPEG(data []byte) []byte {
	data = bytes.Clone(data)
	sof := bytes.Index(data, []byte{0xff, 0xc0})
	copy(data[sof+5:], "\xff\xff\xff\xff")
	return data
}

// zipped is an archive of files of 1 MiB, each.
func zipped(names ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		w, _ := z.Create(name)              // a buffer takes everything
		_, _ = w.Write(make([]byte, 1<<20)) // the same
	}
	_ = z.Close()
	return b.Bytes()
}

// gzipped is 10 MiB of nothing.
func gzipped() []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(make([]byte, 10<<20)) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

func wide(s string) []byte {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}
