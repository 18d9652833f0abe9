package broker

// inflow follows the packets in the bytes that a client sends, and takes out the
// acknowledgements of deliveries: they come as often as deliveries do, and the
// engine would only look at each of them, find that it is none of its own, and
// pass it on.
type inflow struct {
	inHeader bool // the first byte of a packet has been passed on, its length not
	length   int  // of the packet, as far as its bytes have come
	shift    int
	rest     int  // bytes of the packet that are still to be passed on
	lost     bool // the bytes are no packets: the engine will say so
}

// A PUBACK with nothing but a packet identifier, or with a reason code too.
const (
	pubackHeader   = 0x40
	pubackLength   = 2
	pubackReasoned = 3
)

// take removes whole acknowledgements from p, tells them to acknowledged, and
// returns what is left for the engine.
func (f *inflow) take(p []byte, acknowledged func(id uint16)) []byte {
	kept := p[:0]
	for i := 0; i < len(p); {
		switch {
		case f.lost:
			return append(kept, p[i:]...)
		case f.rest > 0:
			n := min(f.rest, len(p)-i)
			kept = append(kept, p[i:i+n]...)
			i, f.rest = i+n, f.rest-n
		case f.inHeader:
			f.lengthByte(p[i])
			kept = append(kept, p[i])
			i++
		default:
			if n := pubackIn(p[i:]); n > 0 && acknowledged != nil {
				acknowledged(uint16(p[i+2])<<8 | uint16(p[i+3]))
				i += n
				continue
			}
			f.inHeader = true
			kept = append(kept, p[i])
			i++
		}
	}
	return kept
}

// pubackIn returns the length of the acknowledgement that p begins with, 0 if
// there is no whole one of the usual kinds.
func pubackIn(p []byte) int {
	if len(p) < 4 || p[0] != pubackHeader || p[1] != pubackLength && p[1] != pubackReasoned || len(p) < 2+int(p[1]) {
		return 0
	}
	return 2 + int(p[1])
}

// lengthByte takes the next byte of a packet's length.
func (f *inflow) lengthByte(b byte) {
	f.length |= int(b&0x7f) << f.shift
	f.shift += 7
	switch {
	case b&0x80 == 0:
		*f = inflow{rest: f.length}
	case f.shift > 21:
		f.lost = true
	}
}
