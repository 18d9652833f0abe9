package proxy

// framer finds the borders of MQTT packets in a stream of bytes that arrives in
// arbitrary pieces. The zero value stands before the first packet.
type framer struct {
	inLength  bool // reading the remaining length
	shift     uint
	remaining int
	publish   bool
}

const packetPublish = 3

// publishEnd reads the next piece and returns the offset behind the first
// PUBLISH packet that ends in it, 0 if none does.
func (f *framer) publishEnd(piece []byte) int {
	end := 0
	for i := 0; i < len(piece); {
		switch {
		case f.remaining > 0:
			n := min(f.remaining, len(piece)-i)
			f.remaining -= n
			i += n
		case f.inLength:
			f.length(piece[i])
			i++
		default:
			f.publish = piece[i]>>4 == packetPublish
			f.inLength, f.shift, f.remaining = true, 0, 0
			i++
		}
		if end == 0 && f.publish && f.atBorder() {
			end = i
		}
		if f.atBorder() {
			f.publish = false
		}
	}
	return end
}

// length takes one byte of the remaining length. Until the last one the sum is
// kept negative, so that it is not mistaken for bytes to skip.
func (f *framer) length(b byte) {
	sum := -f.remaining + int(b&0x7f)<<f.shift
	f.shift += 7
	if b&0x80 != 0 {
		f.remaining = -sum
		return
	}
	f.remaining, f.inLength = sum, false
}

func (f *framer) atBorder() bool { return !f.inLength && f.remaining == 0 }
