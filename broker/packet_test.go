package broker_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

func publish(topic string, id uint16, payload []byte) packets.Packet {
	return packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, PacketID: id, TopicName: topic, Payload: payload,
	}
}

func puback(id uint16) packets.Packet {
	return packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: id}
}

func payloadOf(d parley.Draft) []byte {
	payload, err := json.Marshal(d)
	if err != nil {
		panic(err) // drafts of these tests always marshal
	}
	return payload
}

// userProperty returns a user property, empty if there is none.
func userProperty(pk packets.Packet, key string) string {
	for _, u := range pk.Properties.User {
		if u.Key == key {
			return u.Val
		}
	}
	return ""
}

// encode makes the bytes of a packet. A QoS of 2 and other misuse is written as
// it is given.
func encode(pk packets.Packet, version byte) []byte {
	pk.ProtocolVersion = version
	pk.Mods.AllowResponseInfo = true
	var buf bytes.Buffer
	var err error
	switch pk.FixedHeader.Type {
	case packets.Connect:
		err = pk.ConnectEncode(&buf)
	case packets.Publish:
		err = pk.PublishEncode(&buf)
	case packets.Puback:
		err = pk.PubackEncode(&buf)
	case packets.Subscribe:
		err = pk.SubscribeEncode(&buf)
	case packets.Unsubscribe:
		err = pk.UnsubscribeEncode(&buf)
	case packets.Pingreq:
		err = pk.PingreqEncode(&buf)
	case packets.Disconnect:
		err = pk.DisconnectEncode(&buf)
	default:
		err = fmt.Errorf("packet type %d is not one that clients send", pk.FixedHeader.Type)
	}
	if err != nil {
		panic(err) // a fault of the test
	}
	return buf.Bytes()
}

// readPacket reads what a server sends.
func readPacket(r *bufio.Reader, version byte) (packets.Packet, error) {
	pk := packets.Packet{ProtocolVersion: version}
	b, err := r.ReadByte()
	if err != nil {
		return pk, err
	}
	if err := pk.FixedHeader.Decode(b); err != nil {
		return pk, err
	}
	if pk.FixedHeader.Remaining, _, err = packets.DecodeLength(r); err != nil {
		return pk, err
	}
	p := make([]byte, pk.FixedHeader.Remaining)
	if _, err := io.ReadFull(r, p); err != nil {
		return pk, err
	}
	switch pk.FixedHeader.Type {
	case packets.Connack:
		err = pk.ConnackDecode(p)
	case packets.Publish:
		err = pk.PublishDecode(p)
	case packets.Puback:
		err = pk.PubackDecode(p)
	case packets.Suback:
		err = pk.SubackDecode(p)
	case packets.Unsuback:
		err = pk.UnsubackDecode(p)
	case packets.Disconnect:
		err = pk.DisconnectDecode(p)
	case packets.Pingresp:
	default:
		err = fmt.Errorf("packet type %d is not one that servers send", pk.FixedHeader.Type)
	}
	return pk, err
}
