package picture

// Blocks of GIF.
const (
	gifExtension   = 0x21
	gifImage       = 0x2c
	gifTrailer     = 0x3b
	gifControl     = 0xf9 // how long a picture is shown, and what of it can be seen through
	gifApplication = 0xff
)

// stripGIF keeps the pictures, their timing and how often they are repeated.
func stripGIF(data []byte) ([]byte, orientation, error) {
	r := gifReader{data: data}
	head := r.take(13)
	if head == nil {
		return nil, 0, ErrDamaged
	}
	out := append([]byte(nil), head...)
	out = append(out, r.take(colourTable(head[10]))...)
	for {
		kind := r.take(1)
		switch {
		case kind == nil:
			return nil, 0, ErrDamaged
		case kind[0] == gifTrailer:
			return append(out, gifTrailer), 0, nil
		case kind[0] == gifImage:
			block := r.image()
			if block == nil {
				return nil, 0, ErrDamaged
			}
			out = append(append(out, gifImage), block...)
		case kind[0] == gifExtension:
			block := r.extension()
			if block == nil {
				return nil, 0, ErrDamaged
			}
			if keepsGIF(block) {
				out = append(append(out, gifExtension), block...)
			}
		default:
			return nil, 0, ErrDamaged
		}
	}
}

// keepsGIF: of the applications' extensions, the one that says how often to repeat.
func keepsGIF(extension []byte) bool {
	if extension[0] == gifApplication {
		const loop = "\x0bNETSCAPE2.0\x03\x01"
		return len(extension) == 1+len(loop)+3 && string(extension[1:1+len(loop)]) == loop
	}
	return extension[0] == gifControl && len(extension) == 7
}

// colourTable returns how long the table of colours is that flags tell of.
func colourTable(flags byte) int {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (flags&7 + 1)
}

type gifReader struct {
	data []byte
	at   int
}

// take returns the next n bytes, nil if there are fewer; of none, an empty slice.
func (r *gifReader) take(n int) []byte {
	if len(r.data)-r.at < n {
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at]
}

// image returns a picture behind its separator.
func (r *gifReader) image() []byte {
	from := r.at
	head := r.take(9)
	if head == nil || r.take(colourTable(head[8])) == nil || r.take(1) == nil || !r.subBlocks() {
		return nil
	}
	return r.data[from:r.at]
}

// extension returns one behind its introducer.
func (r *gifReader) extension() []byte {
	from := r.at
	if r.take(1) == nil || !r.subBlocks() {
		return nil
	}
	return r.data[from:r.at]
}

func (r *gifReader) subBlocks() bool {
	for {
		length := r.take(1)
		if length == nil {
			return false
		}
		if length[0] == 0 {
			return true
		}
		if r.take(int(length[0])) == nil {
			return false
		}
	}
}
