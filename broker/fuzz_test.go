package broker_test

import (
	"net"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
)

// FuzzServerBytes gives a real server whatever comes after a login. That may
// end the connection, by a panic of the engine too, and nothing else: the
// server goes on, and nothing is left of it.
func FuzzServerBytes(f *testing.F) {
	w := newWorld(f, func(o *broker.Options) { // which the fuzzer's logins would soon have reached
		o.ConnectLimit, o.AddressConnectLimit, o.PublishLimit, o.AddressPublishLimit = -1, -1, -1, -1
	})
	who, witness := w.visitor(), w.connect(f, w.visitor(), 5)
	topic := parley.ConversationTopic(parley.TopicSend, w.site.ID, "cnv_fuzz").String()
	filters := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1,
		Filters: packets.Subscriptions{{Filter: parley.ConversationTopic(parley.TopicMessages, w.site.ID, parley.Any).String(), Qos: 1}, {Filter: "#"}},
	}
	for _, version := range []byte{4, 5} {
		f.Add(version, burst(topic, drafts(2), version))
		f.Add(version, encode(filters, version))
		f.Add(version, encode(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}}, version))
		f.Add(version, panicking)
		f.Add(version, []byte{0x82, 0x07, 0, 1, 0, 0, 1, 'a', 0})
		f.Add(version, []byte{0x32, 0xff, 0xff, 0xff, 0x7f})
		f.Add(version, []byte{0xc0, 0, 0xc0, 0, 0x40, 2, 0, 1, 0xe0, 0})
		f.Add(version, []byte{0xf0, 0, 0x10, 0})
	}
	f.Fuzz(func(t *testing.T, version byte, bytes []byte) {
		if version != 5 {
			version = 4
		}
		c, ack := w.try(t, as(who, version))
		if ack.ReasonCode != 0 {
			t.Fatalf("CONNACK %#x", ack.ReasonCode)
		}
		c.raw(bytes)
		c.raw(encode(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}}, version))
		c.sayNoMore()
		c.expectEnd()
		w.panics = w.broker.Stats().Panics // allowed here: each has ended one connection
		witness.t = t
		witness.ping()
		awaitCount(t, "connections", 1, func() int64 { return w.broker.Stats().Connected })
	})
}

// sayNoMore ends what the server reads, so that it does not wait for the rest of
// a packet.
func (c *client) sayNoMore() {
	c.t.Helper()
	if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil && !closedByPeer(err) {
		c.t.Fatalf("close for writing: %v", err)
	}
}
