package broker

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
	"pgregory.net/rapid"
)

// pieces hands out what a client sends in pieces of its own.
type pieces [][]byte

func (p *pieces) next() (*buffer, error) {
	if len(*p) == 0 {
		return nil, io.EOF
	}
	b := borrow()
	b.rest = b.space[:copy(b.space[:], (*p)[0])]
	*p = (*p)[1:]
	return b, nil
}

// Whatever packets come, in whatever pieces: each is read whole, or taken as an
// acknowledgement, and none is missing.
func TestPacketsInPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []byte
		var want []int // lengths of PUBLISH payloads
		for range rapid.IntRange(1, 30).Draw(t, "packets") {
			n := rapid.SampledFrom([]int{0, 1, 2, 3, 4, 127, 128, 300, 16_384}).Draw(t, "length")
			payload := bytes.Repeat([]byte{0x40, 2, 0, 1}, n/4+1)[:n]
			all = append(all, header(0x30, 3+n)...)
			all = append(append(all, 0, 1, 't'), payload...)
			want = append(want, n)
		}
		var in pieces
		for len(all) > 0 {
			n := min(rapid.SampledFrom([]int{1, 2, 3, 4, 5, 7, 64, readBuffer}).Draw(t, "piece"), len(all))
			in, all = append(in, all[:n]), all[n:]
		}
		b, c := New(Options{}), &conn{intake: &in}
		c.loggedIn.Store(true)
		for _, n := range want {
			if err := c.await(); err != nil {
				t.Fatal(err)
			}
			pk, err := b.readPacket(c, 4)
			if err != nil || len(pk.Payload) != n || pk.TopicName != "t" {
				t.Fatalf("read %+v, %v, want %d bytes", pk, err, n)
			}
		}
		if err := c.await(); !errors.Is(err, io.EOF) {
			t.Fatalf("more bytes, or %v", err)
		}
	})
}

func TestBadLengthIsRefused(t *testing.T) {
	for want, bytes := range map[error][]byte{
		packets.ErrMalformedVariableByteInteger: {0x30, 0x80, 0x80, 0x80, 0x80, 0x80},
		packets.ErrPacketTooLarge:               header(0x30, MaxPacketBytes-3),
	} {
		in := pieces{bytes}
		c := &conn{intake: &in}
		c.loggedIn.Store(true)
		if _, err := New(Options{}).readPacket(c, 5); !errors.Is(err, want) {
			t.Errorf("%x: %v, want %v", bytes, err, want)
		}
	}
}

func header(kind byte, length int) []byte {
	h := []byte{kind}
	for {
		b := byte(length & 0x7f)
		if length >>= 7; length > 0 {
			h = append(h, b|0x80)
			continue
		}
		return append(h, b)
	}
}
