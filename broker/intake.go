package broker

import (
	"io"
	"net"
	"sync"
)

// intake is where a connection's bytes come from. A silent connection holds no
// buffer: there are many more of these than of others.
type intake interface {
	// next waits for bytes and returns them in a buffer that it has borrowed, which
	// the caller gives back.
	next() (*buffer, error)
}

// buffer holds bytes that have come in and were not read yet.
type buffer struct {
	rest  []byte
	space [readBuffer]byte
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func borrow() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) giveBack() {
	b.rest = nil
	buffers.Put(b)
}

// readInto fills a borrowed buffer from r, which has something or soon will.
func readInto(r io.Reader) (*buffer, error) {
	b := borrow()
	n, err := r.Read(b.space[:])
	if n == 0 {
		b.giveBack()
		return nil, err
	}
	b.rest = b.space[:n]
	return b, nil // an error comes again with the next read
}

// holdingIntake reads what cannot be waited for without a buffer.
type holdingIntake struct{ net.Conn }

func (in holdingIntake) next() (*buffer, error) {
	for {
		if b, err := readInto(in.Conn); b != nil || err != nil {
			return b, err
		}
	}
}
