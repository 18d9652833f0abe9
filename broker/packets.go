package broker

import (
	"errors"
	"fmt"

	"github.com/mochi-mqtt/server/v2/packets"
)

// connectFlags is the first byte of a CONNECT.
const connectFlags = 0x10

// Bytes that the length of a packet takes at most: of any, and of a CONNECT of
// acceptable size.
const (
	lengthBytes        = 4
	connectLengthBytes = 3
)

var errPreamble = errors.New("first packet is not a CONNECT of acceptable size")

// readPacket reads the next packet and decodes it. A packets.Code says how it
// breaks the protocol.
func (b *Broker) readPacket(c *conn, version byte) (*packets.Packet, error) {
	first, body, err := c.readRaw()
	if err != nil {
		return nil, err
	}
	pk := &packets.Packet{ProtocolVersion: version}
	if err := pk.FixedHeader.Decode(first); err != nil {
		return nil, err
	}
	pk.FixedHeader.Remaining = len(body)
	return pk, b.decode(c, pk, body)
}

// readRaw reads the next packet: its first byte, and what comes behind its length.
// Until login it must be a CONNECT of acceptable size, before there is room made
// for it.
func (c *conn) readRaw() (first byte, body []byte, err error) {
	if first, err = c.readByte(); err != nil {
		return 0, nil, err
	}
	loggedIn := c.loggedIn.Load()
	if !loggedIn && first != connectFlags {
		return 0, nil, errPreamble
	}
	if err := new(packets.FixedHeader).Decode(first); err != nil {
		return 0, nil, err
	}
	length, err := c.readLength(loggedIn)
	if err != nil {
		return 0, nil, err
	}
	body, err = c.readBody(length)
	return first, body, err
}

// readLength reads the length of a packet, and refuses one that is too long as
// soon as that is known.
func (c *conn) readLength(loggedIn bool) (int, error) {
	length := 0
	for n := range lengthBytes {
		x, err := c.readByte()
		if err != nil {
			return 0, err
		}
		length |= int(x&0x7f) << (7 * n)
		if !loggedIn && (length > connectBytes || n >= connectLengthBytes) {
			return 0, errPreamble
		}
		if packetLength(length) > MaxPacketBytes {
			return 0, packets.ErrPacketTooLarge
		}
		if x&0x80 == 0 {
			return length, nil
		}
	}
	return 0, packets.ErrMalformedVariableByteInteger
}

// decode reads the packet's fields. The decoder panics at a SUBSCRIBE that ends
// too early.
func (b *Broker) decode(c *conn, pk *packets.Packet, body []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			b.stats.panics.Add(1)
			b.options.Logger.Warn("decoder panicked", "packet type", pk.FixedHeader.Type, "length", len(body), "panic", fmt.Sprint(p), "remote", c.RemoteAddr().String())
			err = packets.ErrMalformedPacket
		}
	}()
	switch pk.FixedHeader.Type {
	case packets.Connect:
		return pk.ConnectDecode(body)
	case packets.Publish:
		return pk.PublishDecode(body)
	case packets.Puback:
		return pk.PubackDecode(body)
	case packets.Subscribe:
		return pk.SubscribeDecode(body)
	case packets.Unsubscribe:
		return pk.UnsubscribeDecode(body)
	case packets.Pingreq:
		return nil
	case packets.Disconnect:
		return pk.DisconnectDecode(body)
	}
	return packets.ErrProtocolViolation // nothing that a client of ours has reason to send
}

// A PUBACK with nothing but a packet identifier, or with a reason code too.
const (
	pubackHeader   = 0x40
	pubackLength   = 2
	pubackReasoned = 3
)

// pubackIn returns the length of the acknowledgement that p begins with, 0 if
// there is no whole one of the usual kinds.
func pubackIn(p []byte) int {
	if len(p) < 4 || p[0] != pubackHeader || p[1] != pubackLength && p[1] != pubackReasoned || len(p) < 2+int(p[1]) {
		return 0
	}
	return 2 + int(p[1])
}
