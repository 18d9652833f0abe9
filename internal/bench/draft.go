package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley/internal/fault/device"
)

// draft is a PUBLISH at QoS 1 that is encoded once: only its packet identifier
// and the serial number in its message id change.
type draft struct {
	bytes  []byte
	id     int // offset of the packet identifier
	serial int // offset of the digits in the message id
}

const (
	idKey        = `"id":"msg_`
	seedDigits   = 16
	serialDigits = 12
	minPayload   = 96 // the frame of a draft and its id
)

// newDraft prepares packets of the given payload size. Message ids begin with
// digits from seed, so that runs on one server do not repeat each other's.
func newDraft(version byte, topic string, payloadBytes int, seed uint64) *draft {
	head := fmt.Sprintf(`{%s%0*x`, idKey, seedDigits, seed)
	middle := `","type":"text","body":{"text":"`
	tail := `"}}`
	text := make([]byte, max(payloadBytes, minPayload)-len(head)-serialDigits-len(middle)-len(tail))
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range text {
		text[i] = "abcdefghijklmnopqrstuvwxyz    "[random.IntN(30)]
	}
	payload := head + fmt.Sprintf("%0*d", serialDigits, 0) + middle + string(text) + tail

	variable := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	variable = append(variable, topic...)
	idAt := len(variable)
	variable = append(variable, 0, 0)
	if version == device.MQTT5 {
		variable = append(variable, 0) // no properties
	}
	payloadAt := len(variable)
	variable = append(variable, payload...)
	d := &draft{bytes: []byte{packets.Publish<<4 | 1<<1}}
	d.bytes = binary.AppendUvarint(d.bytes, uint64(len(variable))) // the same encoding as MQTT's
	d.id = len(d.bytes) + idAt
	d.serial = len(d.bytes) + payloadAt + len(head)
	d.bytes = append(d.bytes, variable...)
	return d
}

// packet returns the packet with an identifier and a serial number. It is
// overwritten by the next call.
func (d *draft) packet(id uint16, serial int) []byte {
	binary.BigEndian.PutUint16(d.bytes[d.id:], id)
	putDigits(d.bytes[d.serial:d.serial+serialDigits], serial)
	return d.bytes
}

func putDigits(dst []byte, n int) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
}

// serialOf finds the serial number of a draft in what a server made of it. What
// else is delivered has none.
func serialOf(payload []byte) (n int, ok bool) {
	at := bytes.Index(payload, []byte(idKey)) + len(idKey) + seedDigits
	if at < len(idKey)+seedDigits || len(payload) < at+serialDigits {
		return 0, false
	}
	for _, c := range payload[at : at+serialDigits] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
