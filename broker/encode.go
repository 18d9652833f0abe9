package broker

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// appendPublish appends a PUBLISH packet. At QoS 0 id is not written.
func appendPublish(dst []byte, version, qos byte, retain bool, topic string, id uint16, payload []byte) []byte {
	header := byte(packets.Publish)<<4 | qos<<1
	if retain {
		header |= 1
	}
	dst = append(dst, header)
	dst = binary.AppendUvarint(dst, uint64(publishLength(version, qos, topic, payload))) // MQTT's variable byte integer is a uvarint
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(topic)))
	dst = append(dst, topic...)
	if qos > 0 {
		dst = binary.BigEndian.AppendUint16(dst, id)
	}
	if version == 5 {
		dst = append(dst, 0) // no properties
	}
	return append(dst, payload...)
}

// appendReply appends a SUBACK or UNSUBACK with one code for each filter. MQTT
// 3.1.1 has no codes in an UNSUBACK.
func appendReply(dst []byte, version, kind byte, id uint16, codes []byte) []byte {
	length := 2 + len(codes)
	switch {
	case version == 5:
		length++
	case kind == packets.Unsuback:
		length, codes = 2, nil
	}
	dst = append(dst, kind<<4)
	dst = binary.AppendUvarint(dst, uint64(length))
	dst = binary.BigEndian.AppendUint16(dst, id)
	if version == 5 {
		dst = append(dst, 0) // no properties
	}
	return append(dst, codes...)
}

// publishLength is the remaining length of such a packet.
func publishLength(version, qos byte, topic string, payload []byte) int {
	n := 2 + len(topic) + len(payload)
	if qos > 0 {
		n += 2
	}
	if version == 5 {
		n++
	}
	return n
}

// packetLength is the length of a packet with its fixed header.
func packetLength(remaining int) int {
	n := 2 + remaining
	for remaining >>= 7; remaining > 0; remaining >>= 7 {
		n++
	}
	return n
}

// acker writes acknowledgements that a client understands.
type acker struct {
	version byte
	terse   bool // the client asked for no user properties
	most    int  // bytes of a packet that the client takes, 0 for any
}

// positive appends the positive acknowledgement of a publish, with the position
// of the entry for MQTT 5.
func (k acker) positive(dst []byte, id uint16, a parley.Appended, epoch string) []byte {
	user := []packets.UserProperty{
		{Key: "seq", Val: strconv.FormatInt(a.Entry.Seq, 10)},
		{Key: "epoch", Val: epoch},
	}
	if a.Duplicate {
		user = append(user, packets.UserProperty{Key: "duplicate", Val: "1"})
	}
	return k.append(dst, id, packets.CodeSuccess, user)
}

// refusal appends the acknowledgement of a publish that was refused for good.
// MQTT 3.1.1 has no words for it: the device's errors stream has.
func (k acker) refusal(dst []byte, id uint16, refusal *parley.Error) []byte {
	user := []packets.UserProperty{{Key: "code", Val: string(refusal.Code)}}
	if refusal.RetryAfter > 0 {
		user = append(user, retryAfter(refusal.RetryAfter))
	}
	return k.append(dst, id, reasonOf(refusal), user)
}

// retryAfter tells an MQTT 5 client when to try again, in seconds.
func retryAfter(wait time.Duration) packets.UserProperty {
	return packets.UserProperty{Key: "retryAfter", Val: strconv.FormatInt(parley.Seconds(wait), 10)}
}

func (k acker) append(dst []byte, id uint16, reason packets.Code, user []packets.UserProperty) []byte {
	if k.version < 5 {
		return append(dst, byte(packets.Puback)<<4, 2, byte(id>>8), byte(id))
	}
	pk := packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Puback},
		ProtocolVersion: 5, PacketID: id, ReasonCode: reason.Code,
		Properties: packets.Properties{User: user},
	}
	var buf bytes.Buffer
	err := pk.PubackEncode(&buf)
	if err != nil || k.terse || k.most > 0 && buf.Len() > k.most { // [MQTT-3.1.2-29] [MQTT-3.4.2-2]
		return append(dst, byte(packets.Puback)<<4, 3, byte(id>>8), byte(id), reason.Code)
	}
	return append(dst, buf.Bytes()...)
}
