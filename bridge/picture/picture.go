// Package picture makes pictures from strangers fit to be shown: without what else
// is in the file, and with a thumbnail.
//
// Files are taken apart and put together again from what is needed to show them, so
// that the picture itself stays as it is, bit by bit. Where it was taken, with what,
// and whatever somebody has hidden between or behind its parts is gone.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/webp"
)

// The media types of pictures that can be cleaned.
const (
	JPEG = "image/jpeg"
	PNG  = "image/png"
	GIF  = "image/gif"
	WebP = "image/webp"
)

// MaxPixels bounds a picture: what a small file can make a browser unpack.
const MaxPixels = 40_000_000

// maxWork bounds the memory that is used to make a thumbnail, in bytes.
const maxWork = 128 << 20

// Errors of Clean.
var (
	ErrTooLarge = errors.New("the picture has too many pixels")
	ErrDamaged  = errors.New("the picture is damaged")
)

// Picture is a picture that was cleaned.
type Picture struct {
	Data      []byte
	Width     int // as it is to be shown
	Height    int
	Thumbnail []byte // a JPEG, or a PNG if it can be seen through; nil if there is none
	Type      string // of the thumbnail
}

// format is how one kind of file is dealt with.
type format struct {
	config func(data []byte) (image.Config, error)
	decode func(data []byte) (image.Image, error)
	// strip returns the file without what is not needed, and how it is to be turned.
	strip func(data []byte) ([]byte, orientation, error)
	// work returns how many bytes decode needs for each pixel.
	work func(data []byte, c image.Config) int
}

func formatOf(kind string) (format, bool) {
	reader := func(data []byte) *bytes.Reader { return bytes.NewReader(data) }
	f, ok := map[string]format{
		JPEG: {
			func(b []byte) (image.Config, error) { return jpeg.DecodeConfig(reader(b)) },
			func(b []byte) (image.Image, error) { return jpeg.Decode(reader(b)) }, stripJPEG, workJPEG,
		},
		PNG: {
			func(b []byte) (image.Config, error) { return png.DecodeConfig(reader(b)) },
			func(b []byte) (image.Image, error) { return png.Decode(reader(b)) }, stripPNG, workOfModel,
		},
		GIF: {
			func(b []byte) (image.Config, error) { return gif.DecodeConfig(reader(b)) },
			func(b []byte) (image.Image, error) { return gif.Decode(reader(b)) }, stripGIF, workOfModel, // the first of its pictures
		},
		WebP: {
			func(b []byte) (image.Config, error) { return webp.DecodeConfig(reader(b)) },
			func(b []byte) (image.Image, error) { return webp.Decode(reader(b)) }, stripWebP, workOfModel,
		},
	}[kind]
	return f, ok
}

// Kind reports whether a media type is one that Clean takes.
func Kind(kind string) bool {
	_, ok := formatOf(kind)
	return ok
}

// Clean returns the picture in data, which is of that media type. It fails with
// ErrTooLarge or ErrDamaged. What cannot be decoded, or would take too much memory,
// has no thumbnail. Clean needs up to 150 MiB and three times the length of data: whoever calls it sees to it that it
// does not run many times at once.
func Clean(kind string, data []byte) (Picture, error) {
	f, ok := formatOf(kind)
	if !ok {
		return Picture{}, fmt.Errorf("%s is no picture that can be cleaned", kind)
	}
	c, err := f.config(data)
	if err != nil || c.Width <= 0 || c.Height <= 0 {
		return Picture{}, ErrDamaged
	}
	if c.Width > MaxPixels/c.Height {
		return Picture{}, ErrTooLarge
	}
	clean, turn, err := f.strip(data)
	if err != nil {
		return Picture{}, err
	}
	p := Picture{Data: clean, Width: c.Width, Height: c.Height}
	if turn.sideways() {
		p.Width, p.Height = c.Height, c.Width
	}
	if f.work(data, c) > maxWork/(c.Width*c.Height) {
		return p, nil
	}
	decoded, err := f.decode(clean)
	if err != nil || decoded.Bounds().Dx()*decoded.Bounds().Dy() > MaxPixels {
		return p, nil // browsers show parts of what is cut short
	}
	p.Thumbnail, p.Type, err = thumbnail(decoded, turn)
	return p, err
}

// workOfModel is by how much room a pixel takes.
func workOfModel(_ []byte, c image.Config) int {
	switch c.ColorModel {
	case color.RGBA64Model, color.NRGBA64Model:
		return 8
	case color.Gray16Model:
		return 2
	case color.GrayModel:
		return 1
	}
	if _, ok := c.ColorModel.(color.Palette); ok {
		return 1
	}
	return 4
}
