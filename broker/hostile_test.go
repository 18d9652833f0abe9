package broker_test

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
)

// panicking is a SUBSCRIBE whose last filter has no options byte; the engine's
// decoder reads it from behind the packet.
var panicking = []byte{0x82, 0x07, 0, 1, 0, 0, 2, 'a', 'b'}

func TestPanicEndsOneConnectionOnly(t *testing.T) {
	w := newWorld(t)
	w.panics = 3
	who, bystander := w.visitor(), w.connect(t, w.visitor(), 5)
	for range w.panics {
		c := w.resume(t, who, 5)
		c.followMessages()
		c.raw(panicking)
		c.expectEnd()
	}
	bystander.expectAck(bystander.post(parley.NewID(parley.PrefixConversation), draft()))
	awaitCount(t, "connections", 1, func() int64 { return w.broker.Stats().Connected })
	again := w.resume(t, who, 5) // nothing of the session is lost
	id := parley.NewID(parley.PrefixConversation)
	d := draft()
	w.record(who, id, d)
	again.expectTexts(id, []string{d.ID})
}

// What only servers send, and what only QoS 2 needs, ends the connection.
func TestPacketsThatNoClientSends(t *testing.T) {
	for name, bytes := range map[string][]byte{
		"CONNACK": {0x20, 0x03, 0, 0, 0}, "SUBACK": {0x90, 0x04, 0, 1, 0, 0}, "UNSUBACK": {0xb0, 0x04, 0, 1, 0, 0}, "PINGRESP": {0xd0, 0},
		"PUBREC": {0x50, 0x02, 0, 1}, "PUBREL": {0x62, 0x02, 0, 1}, "PUBCOMP": {0x70, 0x02, 0, 1}, "AUTH": {0xf0, 0x02, 0x18, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.connect(t, w.visitor(), 5)
			c.raw(bytes)
			c.expectDisconnect(packets.ErrProtocolViolation)
		})
	}
}

func TestBytesThatAreNoPackets(t *testing.T) {
	for name, bytes := range map[string][]byte{
		"type 0":                {0x00, 0x00},
		"PUBLISH with QoS 3":    {0x36, 0x00},
		"PINGREQ with flags":    {0xc5, 0x00},
		"SUBSCRIBE flags":       {0x80, 0x00},
		"empty SUBSCRIBE":       {0x82, 0x00},
		"SUBSCRIBE of nothing":  {0x82, 0x03, 0, 1, 0},
		"length without an end": {0x30, 0xff, 0xff, 0xff, 0xff, 0xff},
		"topic beyond the end":  {0x32, 0x04, 0xff, 0xff, 'a', 'b'},
		"packet identifier 0":   {0x32, 0x06, 0, 1, 'a', 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.connect(t, w.visitor(), 5)
			c.raw(bytes)
			c.expectEnd()
		})
	}
}

// Announcing a large packet before login must not make the server reserve room
// for it: 500 connections at 256 MiB each would be visible.
func TestAnnouncedLengthTakesNoMemoryBeforeLogin(t *testing.T) {
	w := newWorld(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 500 {
		c := w.dial(t)
		_, err := c.Write([]byte{0x10, 0xff, 0xff, 0xff, 0x7f})
		must(t, err)
	}
	awaitCount(t, "connections served", 0, func() int64 { return int64(w.broker.Pending()) })
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 256<<20 {
		t.Errorf("%d MiB were allocated", grown>>20)
	}
}

// stuck returns a connection of a device whose socket takes nothing any more:
// the client reads nothing, and the server has much to write.
func (w *world) stuck(t *testing.T, who parley.Credentials, conversation string) net.Conn {
	t.Helper()
	conn := w.dial(t)
	must(t, conn.(*net.TCPConn).SetReadBuffer(4096))
	l := as(who, 5).persistent()
	l.window = broker.MaxWindow
	topic := parley.ConversationTopic(parley.TopicMessages, w.site.ID, conversation).String()
	packet := encode(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1,
		Filters: packets.Subscriptions{{Filter: topic, Qos: 1}},
	}, 5)
	_, err := conn.Write(append(encode(l.packet(), 5), packet...))
	must(t, err)
	await(t, func() string {
		if n := w.broker.Subscribed(parley.MessagesOf(w.site.ID, conversation)); n == 0 {
			return "not subscribed"
		}
		return ""
	})
	for range 150 { // more than the socket's buffers hold
		w.record(who, conversation, parley.NewText(draft().ID, fillBody(parley.MaxBodyBytes)))
	}
	return conn
}

func TestStuckSocketIsTakenOverAtOnce(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 1)
	w.stuck(t, who, id)
	started := time.Now()
	c := w.resume(t, who, 5)
	if took := time.Since(started); took > time.Second {
		t.Errorf("CONNACK came after %v", took)
	}
	if n := w.broker.Stats().Takeovers; n != 1 {
		t.Errorf("%d takeovers", n)
	}
	c.expectTexts(id, w.texts(id)[1:])
}

func TestStuckSocketIsCut(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.WriteTimeout = 300 * time.Millisecond })
	who := w.visitor()
	id := w.conversation(who, 1)
	w.stuck(t, who, id)
	awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
	c := w.resume(t, who, 5)
	c.expectTexts(id, w.texts(id)[1:])
}

// A reader that acknowledges nothing holds up neither the writers nor the other
// readers.
func TestReaderThatNeverAcknowledges(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 0)
	lazy := as(who, 5)
	lazy.window, lazy.hold = 1, true
	lazyDevice := w.again(who)
	lazy.token, lazy.identifier = lazyDevice.Token, lazyDevice.Identity.ClientID()
	idle := w.connectWith(t, lazyDevice, lazy)
	idle.followMessages()
	reader, writer := w.connect(t, w.again(who), 5), w.connect(t, who, 5)
	reader.followMessages()
	all := drafts(200)
	for _, d := range all {
		writer.expectAck(writer.post(id, d))
	}
	reader.expectTexts(id, idsOf(all))
	idle.expectOn(idle.messagesTopic(id))
	idle.ping()
	idle.expectNone("a second delivery", func(pk packets.Packet) bool { return pk.FixedHeader.Type == packets.Publish })
}
