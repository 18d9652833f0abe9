package broker

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"
	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
)

// decode reads one packet with the engine's decoder.
func decode(t interface{ Fatalf(string, ...any) }, b []byte, version byte) packets.Packet {
	pk := packets.Packet{ProtocolVersion: version}
	r := bytes.NewReader(b)
	first, err := r.ReadByte()
	if err == nil {
		err = pk.FixedHeader.Decode(first)
	}
	if err == nil {
		pk.FixedHeader.Remaining, _, err = packets.DecodeLength(r)
	}
	if err != nil || r.Len() != pk.FixedHeader.Remaining {
		t.Fatalf("fixed header: %v, %d bytes follow, %d announced", err, r.Len(), pk.FixedHeader.Remaining)
	}
	body := b[len(b)-r.Len():]
	if pk.FixedHeader.Type == packets.Publish {
		err = pk.PublishDecode(body)
	} else {
		err = pk.PubackDecode(body)
	}
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	return pk
}

func TestPublishRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		version := rapid.SampledFrom([]byte{4, 5}).Draw(t, "version")
		qos := rapid.SampledFrom([]byte{0, 1}).Draw(t, "qos")
		retain := rapid.Bool().Draw(t, "retain")
		topic := rapid.StringMatching(`[a-z0-9/_.]{1,250}`).Draw(t, "topic")
		id := rapid.Uint16Min(1).Draw(t, "id")
		// Lengths around the borders of the variable byte integer too.
		size := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(15_900, 16_500), rapid.Just(70_000)).Draw(t, "size")
		payload := bytes.Repeat([]byte{'x'}, size)
		before := []byte("what was there")

		packed := appendPublish(bytes.Clone(before), version, qos, retain, topic, id, payload)
		if !bytes.HasPrefix(packed, before) {
			t.Fatalf("what was there is not there any more")
		}
		b := packed[len(before):]
		if n := packetLength(publishLength(version, qos, topic, payload)); n != len(b) {
			t.Fatalf("%d bytes, %d foretold", len(b), n)
		}
		pk := decode(t, b, version)
		if qos == 0 {
			id = 0
		}
		if pk.FixedHeader.Qos != qos || pk.FixedHeader.Retain != retain || pk.TopicName != topic || pk.PacketID != id || !bytes.Equal(pk.Payload, payload) {
			t.Fatalf("another packet: QoS %d, retain %v, %s, %d", pk.FixedHeader.Qos, pk.FixedHeader.Retain, pk.TopicName, pk.PacketID)
		}
	})
}

func TestAcknowledgementRoundTrip(t *testing.T) {
	stored := parley.Appended{Entry: parley.Entry{Seq: 1 << 52}, Duplicate: true}
	refusal := parley.Errorf(parley.CodeTooLarge, "too large")
	full := []packets.UserProperty{{Key: "seq", Val: "4503599627370496"}, {Key: "epoch", Val: "epo_a"}, {Key: "duplicate", Val: "1"}}
	for name, test := range map[string]struct {
		acker          acker
		success, error []packets.UserProperty
		reason         byte
	}{
		"3.1.1": {acker{version: 4}, nil, nil, 0},
		"5":     {acker{version: 5}, full, []packets.UserProperty{{Key: "code", Val: "too_large"}}, 0x97},
		"terse": {acker{version: 5, terse: true}, nil, nil, 0x97},
		"small": {acker{version: 5, most: 30}, nil, []packets.UserProperty{{Key: "code", Val: "too_large"}}, 0x97},
	} {
		t.Run(name, func(t *testing.T) {
			yes := decode(t, test.acker.positive(nil, 513, stored, "epo_a"), test.acker.version)
			if diff := cmp.Diff(test.success, yes.Properties.User); diff != "" || yes.PacketID != 513 || yes.ReasonCode != 0 {
				t.Errorf("packet %d, reason %#x (-want +got):\n%s", yes.PacketID, yes.ReasonCode, diff)
			}
			no := decode(t, test.acker.refusal(nil, 513, refusal), test.acker.version)
			if diff := cmp.Diff(test.error, no.Properties.User); diff != "" || no.PacketID != 513 || no.ReasonCode != test.reason {
				t.Errorf("packet %d, reason %#x (-want +got):\n%s", no.PacketID, no.ReasonCode, diff)
			}
		})
	}
}

// FuzzPreamble sends whatever comes as the first bytes: the engine gets them if
// they are a CONNECT of acceptable size, and none that tell a length otherwise.
func FuzzPreamble(f *testing.F) {
	for _, b := range [][]byte{
		{0x10, 0x10, 0, 4, 'M', 'Q', 'T', 'T'}, {0x10, 0x80, 0x80, 0x01}, {0x10, 0x81, 0x80, 0x01}, {0x10, 0xff, 0xff, 0xff, 0x7f},
		{0x10, 0x80, 0x80, 0x80, 0x80, 0x01}, {0x10, 0x80, 0x80, 0x80, 0x00}, {0x82, 7}, {0x11, 0}, {0x10}, {},
	} {
		f.Add(b)
	}
	broker := New(Options{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 || len(b) > readBuffer {
			return
		}
		length, size, malformed := packets.DecodeLength(bytes.NewReader(b[1:]))
		good := b[0] == connectFlags && malformed == nil && size <= connectLengthBytes && length <= connectBytes
		c := &conn{Conn: noAddress{}, intake: &pieces{b}}
		_, err := broker.readPacket(c, 0)
		if incomplete := errors.Is(err, io.EOF); good && errors.Is(err, errPreamble) || !good && !incomplete && !errors.Is(err, errPreamble) {
			t.Fatalf("%x: %v", b, err)
		}
		if good && len(b) >= 1+size+length && errors.Is(err, io.EOF) {
			t.Fatalf("%x: not read whole", b)
		}
	})
}

// noAddress is a connection that comes from nowhere.
type noAddress struct{ net.Conn }

func (noAddress) RemoteAddr() net.Addr { return &net.TCPAddr{} }
