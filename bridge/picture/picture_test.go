package picture

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"
	"testing"
)

// secret stands for what must not be in a file that others get.
const secret = "GPS 52.5200 N 13.4050 E <script>alert(1)</script>"

// halves is red above and blue below, or with see, seen through there.
func halves(w, h int, see bool) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{R: 255, A: 255}
			if y >= h/2 {
				c = color.NRGBA{B: 255, A: 255}
				if see {
					c.A = 0
				}
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func jpegOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// exif is TIFF data with a secret behind an orientation.
func exif(o orientation, order binary.AppendByteOrder) []byte {
	mark := "MM"
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		mark = "II"
	}
	b := order.AppendUint32(order.AppendUint16([]byte(mark), 42), 8)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(order.AppendUint16(b, 0x8825), 4) // where the GPS data are
	b = order.AppendUint32(order.AppendUint32(b, 1), 38)
	b = order.AppendUint16(order.AppendUint16(b, tagOrientation), 3)
	b = order.AppendUint16(order.AppendUint16(order.AppendUint32(b, 1), uint16(o)), 0)
	return append(order.AppendUint32(b, 0), secret...)
}

// segment is one of a JPEG.
func segment(marker byte, body string) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2)), body...)
}

// inJPEG puts segments behind the beginning and bytes behind the end.
func inJPEG(data []byte, behind string, segments ...[]byte) []byte {
	return slices.Concat(data[:2], slices.Concat(segments...), data[2:], []byte(behind))
}

func clean(t *testing.T, kind string, data []byte) Picture {
	t.Helper()
	p, err := Clean(kind, data)
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	if bytes.Contains(p.Data, []byte("GPS")) || bytes.Contains(p.Data, []byte("<script")) || bytes.Contains(p.Thumbnail, []byte("GPS")) {
		t.Errorf("%s: the secret is still there", kind)
	}
	return p
}

// expectPicture decodes and compares the corners with those of want, which is a
// picture with red where "r" is.
func expectCorners(t *testing.T, what string, data []byte, want string) {
	t.Helper()
	m, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	b, got := m.Bounds(), ""
	for _, p := range []image.Point{{b.Min.X, b.Min.Y}, {b.Max.X - 1, b.Min.Y}, {b.Min.X, b.Max.Y - 1}, {b.Max.X - 1, b.Max.Y - 1}} {
		r, _, blue, a := m.At(p.X, p.Y).RGBA()
		switch {
		case a == 0:
			got += "-"
		case r > blue:
			got += "r"
		default:
			got += "b"
		}
	}
	if got != want {
		t.Errorf("%s: corners %s, want %s", what, got, want)
	}
}

func TestJPEG(t *testing.T) {
	plain := jpegOf(t, halves(640, 320, false))
	for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
		for o, want := range map[orientation]string{0: "rrbb", 1: "rrbb", 2: "rrbb", 3: "bbrr", 4: "bbrr", 5: "rbrb", 6: "brbr", 7: "brbr", 8: "rbrb", 9: "rrbb"} {
			data := inJPEG(plain, secret+"PK\x03\x04",
				segment(markerAPP0+1, "Exif\x00\x00"+string(exif(o, order))), segment(markerAPP0+1, "http://ns.adobe.com/xap/1.0/\x00"+secret),
				segment(markerAPP0+2, "MPF\x00"+secret), segment(markerAPP0+13, "Photoshop 3.0\x00"+secret), segment(0xfe, secret))
			p := clean(t, JPEG, data)
			w, h := 640, 320
			if o >= 5 && o <= 8 {
				w, h = h, w
			}
			if p.Width != w || p.Height != h || p.Type != JPEG {
				t.Errorf("orientation %d: %d by %d, thumbnail %s", o, p.Width, p.Height, p.Type)
			}
			expectCorners(t, "the picture", p.Data, "rrbb") // bit by bit
			expectCorners(t, "the thumbnail", p.Thumbnail, want)
			turned, kept := orientation(0), o
			if o < 2 || o > 8 {
				kept = 0
			}
			if i := bytes.Index(p.Data, []byte("Exif\x00\x00")); i >= 0 {
				turned = readOrientation(p.Data[i+6:])
			}
			if turned != kept {
				t.Errorf("orientation %d: the file says %d", o, turned)
			}
		}
	}
	icc := segment(markerAPP0+2, "ICC_PROFILE\x00colours")
	if p := clean(t, JPEG, inJPEG(plain, "", icc)); !bytes.Contains(p.Data, icc) {
		t.Error("what says how colours are meant is gone")
	}
	if p := clean(t, JPEG, plain); !bytes.Equal(p.Data, plain) {
		t.Error("a plain picture was changed")
	}
}

func TestPNG(t *testing.T) {
	plain := pngOf(t, halves(600, 900, true))
	var data []byte
	data = append(data, plain[:33]...) // the signature and IHDR
	for _, name := range []string{"tEXt", "zTXt", "iTXt", "tIME", "prVt"} {
		data = appendChunk(data, name, []byte(secret))
	}
	data = appendChunk(data, "eXIf", exif(6, binary.BigEndian))
	data = appendChunk(data, "gAMA", []byte{0, 0, 0xb1, 0x8f})
	data = append(append(data, plain[33:]...), secret...)
	p := clean(t, PNG, data)
	if p.Width != 900 || p.Height != 600 || p.Type != PNG || !bytes.Contains(p.Data, []byte("gAMA")) || !bytes.Contains(p.Data, []byte("eXIf")) {
		t.Errorf("%d by %d, thumbnail %s", p.Width, p.Height, p.Type)
	}
	expectCorners(t, "the picture", p.Data, "rr--")
	expectCorners(t, "the thumbnail", p.Thumbnail, "-r-r")
	if p := clean(t, PNG, plain); !bytes.Equal(p.Data, plain) {
		t.Error("a plain picture was changed")
	}
}

func TestGIF(t *testing.T) {
	palette := color.Palette{color.NRGBA{R: 255, A: 255}, color.NRGBA{B: 255, A: 255}}
	frame := image.NewPaletted(image.Rect(0, 0, 20, 10), palette)
	for i := len(frame.Pix) / 2; i < len(frame.Pix); i++ {
		frame.Pix[i] = 1
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &gif.GIF{Image: []*image.Paletted{frame, frame}, Delay: []int{7, 9}, LoopCount: 3}); err != nil {
		t.Fatal(err)
	}
	plain := b.Bytes()
	if p := clean(t, GIF, plain); !bytes.Equal(p.Data, plain) {
		t.Error("a plain picture was changed")
	}
	at := 13 + colourTable(plain[10])
	comment := "\x21\xfe" + string(byte(len(secret))) + secret + "\x00"
	xmp := "\x21\xff\x0bXMP DataXMP" + string(byte(len(secret))) + secret + "\x00"
	p := clean(t, GIF, slices.Concat(plain[:at], []byte(comment+xmp), plain[at:], []byte("*/="+secret)))
	if !bytes.Equal(p.Data, plain) {
		t.Error("what was added is not all that is gone")
	}
	expectCorners(t, "the thumbnail", p.Thumbnail, "rrbb")
	all := must(gif.DecodeAll(bytes.NewReader(p.Data)))(t)
	if len(all.Image) != 2 || all.LoopCount != 3 || all.Delay[1] != 9 {
		t.Errorf("the animation is %+v", all)
	}
}

// webpLossy is one pixel.
const webpLossy = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA"

func riff(chunks ...string) []byte {
	body := "WEBP" + strings.Join(chunks, "")
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func riffChunk(name, body string) string {
	return string(appendRIFF(nil, append(binary.LittleEndian.AppendUint32([]byte(name), uint32(len(body))), body...)))
}

func TestWebP(t *testing.T) {
	plain := must(base64.StdEncoding.DecodeString(webpLossy))(t)
	p := clean(t, WebP, append(bytes.Clone(plain), secret...))
	if !bytes.Equal(p.Data, plain) || p.Width != 1 || p.Height != 1 || p.Thumbnail == nil {
		t.Errorf("%d by %d, %d bytes of %d, thumbnail %v", p.Width, p.Height, len(p.Data), len(plain), p.Thumbnail)
	}
	head := riffChunk("VP8X", "\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	p = clean(t, WebP, riff(head, string(plain[12:]), riffChunk("EXIF", string(exif(6, binary.LittleEndian))), riffChunk("XMP ", secret), riffChunk("odd1", secret)))
	if want := riff(riffChunk("VP8X", "\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00"), string(plain[12:]), riffChunk("EXIF", string(orientation(6).tiff()))); !bytes.Equal(p.Data, want) {
		t.Errorf("%q, want %q", p.Data, want)
	}
}

func TestBombs(t *testing.T) {
	header := func(w, h uint32, depth, kind byte) []byte {
		b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
		return append(appendChunk([]byte(pngSignature), "IHDR", append(b, depth, kind, 0, 0, 0)), appendChunk(nil, "IEND", nil)...)
	}
	for _, size := range [][2]uint32{{10_000, 10_000}, {1 << 30, 1 << 30}, {40_000_001, 1}, {1, 40_000_001}} {
		if _, err := Clean(PNG, header(size[0], size[1], 8, 2)); !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrDamaged) {
			t.Errorf("%v pixels: %v", size, err)
		}
	}
	p := must(Clean(PNG, header(6000, 6000, 16, 6)))(t) // 36 million pixels of 8 bytes
	if p.Thumbnail != nil || p.Width != 6000 {
		t.Errorf("%d wide, with a thumbnail", p.Width)
	}
	plain := jpegOf(t, halves(16, 16, false))
	scan := bytes.Index(plain, []byte{0xff, markerSOS})
	scans := bytes.Repeat(plain[scan:len(plain)-2], 100)
	if _, err := Clean(JPEG, slices.Concat(plain[:scan], scans, plain[len(plain)-2:])); !errors.Is(err, ErrDamaged) {
		t.Errorf("a hundred scans: %v", err)
	}
	progressive := bytes.Clone(plain)
	sof := bytes.Index(progressive, []byte{0xff, 0xc0})
	progressive[sof+1] = markerSOF2
	c := must(jpeg.DecodeConfig(bytes.NewReader(plain)))(t)
	if a, b := workJPEG(plain, c), workJPEG(progressive, c); a != 3 || b != 15 {
		t.Errorf("work %d, of a progressive one %d", a, b)
	}
}

// What is cut short or changed anywhere is refused or comes out without a secret, and
// nothing panics.
func FuzzClean(f *testing.F) {
	small := halves(9, 7, true)
	plain := jpegOf(f, small)
	webp, err := base64.StdEncoding.DecodeString(webpLossy)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(inJPEG(plain, secret, segment(markerAPP0+1, "Exif\x00\x00"+string(exif(6, binary.BigEndian)))))
	f.Add(pngOf(f, small))
	f.Add(webp)
	f.Add([]byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\x00\x00\x00\x00\xff\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, kind := range []string{JPEG, PNG, GIF, WebP} {
			p, err := Clean(kind, data)
			if err != nil {
				continue
			}
			again, err := Clean(kind, p.Data)
			if err != nil || !bytes.Equal(again.Data, p.Data) || again.Width != p.Width || again.Height != p.Height {
				t.Errorf("%s: cleaning again: %v", kind, err)
			}
		}
	})
}
