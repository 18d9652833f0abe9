package broker

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever packets come, in whatever pieces: each acknowledgement is either taken
// or passed on, everything else is passed on, and nothing changes its order.
func TestInflowTakesAcknowledgementsOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		packet := rapid.OneOf(
			rapid.Custom(func(t *rapid.T) []byte { // any packet; its bytes look like acknowledgements
				kind := rapid.SampledFrom([]byte{0x30, 0x32, 0x82, 0xc0, 0x41, 0xe0}).Draw(t, "kind")
				n := rapid.SampledFrom([]int{0, 1, 2, 3, 4, 127, 128, 300, 16_384}).Draw(t, "length")
				return append(header(kind, n), bytes.Repeat([]byte{0x40, 2, 0, 1}, n/4+1)[:n]...)
			}),
			rapid.Custom(func(t *rapid.T) []byte {
				body := rapid.SampledFrom([][]byte{{0, 7}, {1, 2, 0}, {1, 2, 0x87}, {0, 9, 0, 0}, {0}, {}}).Draw(t, "acknowledgement")
				return append(header(0x40, len(body)), body...)
			}),
		)
		all := rapid.SliceOfN(packet, 1, 30).Draw(t, "packets")
		var f inflow
		var taken, kept []byte
		for rest := slices.Concat(all...); len(rest) > 0; {
			n := min(rapid.SampledFrom([]int{1, 2, 3, 4, 5, 7, 64, 2048}).Draw(t, "piece"), len(rest))
			piece := slices.Clone(rest[:n])
			rest = rest[n:]
			kept = append(kept, f.take(piece, func(id uint16) { taken = append(taken, byte(id>>8), byte(id)) })...)
		}
		for _, p := range all {
			if bytes.HasPrefix(kept, p) {
				kept = kept[len(p):]
				continue
			}
			if pubackIn(p) == 0 || !bytes.HasPrefix(taken, p[2:4]) {
				t.Fatalf("packet %x… is neither passed on nor taken", p[:min(len(p), 8)])
			}
			taken = taken[2:]
		}
		if len(kept) > 0 || len(taken) > 0 {
			t.Fatalf("%d bytes and %d acknowledgements too many", len(kept), len(taken)/2)
		}
	})
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

// Before login, and in what is no MQTT at all, nothing is taken.
func TestInflowPassesOn(t *testing.T) {
	var early inflow
	ack := []byte{0x40, 2, 0, 1}
	if kept := early.take(slices.Clone(ack), nil); !bytes.Equal(kept, ack) {
		t.Errorf("before login: %x", kept)
	}
	var lost inflow
	bad := append([]byte{0x30, 0xff, 0xff, 0xff, 0xff, 0xff}, ack...)
	kept := lost.take(slices.Clone(bad), func(uint16) { t.Error("taken from what is no packet") })
	if !bytes.Equal(kept, bad) {
		t.Errorf("no packets: %x", kept)
	}
}
