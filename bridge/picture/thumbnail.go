package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/draw"
)

// thumbnailSide is how long the longer side of a thumbnail is, in pixels.
const thumbnailSide = 480

func thumbnail(from image.Image, turn orientation) (data []byte, kind string, err error) {
	small := turn.apply(shrink(from))
	var b bytes.Buffer
	if small.Opaque() {
		err, kind = jpeg.Encode(&b, small, &jpeg.Options{Quality: 82}), JPEG
	} else {
		err, kind = png.Encode(&b, small), PNG
	}
	if err != nil {
		return nil, "", fmt.Errorf("encode thumbnail: %w", err)
	}
	return b.Bytes(), kind, nil
}

// shrink fits a picture into a square, and never makes it larger. Of a very large one
// it looks at some pixels only, which is enough for what is left of it.
func shrink(from image.Image) *image.RGBA {
	bounds := from.Bounds()
	w, h := bounds.Dx(), bounds.Dy()
	if longer := max(w, h); longer > thumbnailSide {
		w, h = max(1, w*thumbnailSide/longer), max(1, h*thumbnailSide/longer)
	}
	small := image.NewRGBA(image.Rect(0, 0, w, h))
	scaler := draw.Interpolator(draw.ApproxBiLinear)
	if bounds.Dx() <= 8*w && bounds.Dy() <= 8*h {
		scaler = draw.BiLinear
	}
	scaler.Scale(small, small.Bounds(), from, bounds, draw.Src, nil)
	return small
}

// orientation is how a picture is to be turned, as EXIF numbers it: 1 to 8, and 0 where
// nothing is said.
type orientation int

func (o orientation) sideways() bool { return o >= 5 && o <= 8 }

// apply turns a picture.
func (o orientation) apply(from *image.RGBA) *image.RGBA {
	if o < 2 || o > 8 {
		return from
	}
	w, h := from.Bounds().Dx(), from.Bounds().Dy()
	if o.sideways() {
		w, h = h, w
	}
	to := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			fx, fy := o.source(x, y, w, h)
			to.SetRGBA(x, y, from.RGBAAt(fx, fy))
		}
	}
	return to
}

// source returns which pixel comes to (x, y) of a picture that is w by h when it has
// been turned.
func (o orientation) source(x, y, w, h int) (int, int) {
	switch o {
	case 2:
		return w - 1 - x, y
	case 3:
		return w - 1 - x, h - 1 - y
	case 4:
		return x, h - 1 - y
	case 5:
		return y, x
	case 6:
		return y, w - 1 - x
	case 7:
		return h - 1 - y, w - 1 - x
	case 8:
		return h - 1 - y, x
	}
	return x, y
}
