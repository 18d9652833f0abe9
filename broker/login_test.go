package broker_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley/broker"
)

func TestLimitsAreAnnounced(t *testing.T) {
	w := newWorld(t)
	_, ack := w.try(t, as(w.visitor(), 5))
	p := ack.Properties
	if p.ReceiveMaximum != 64 || p.MaximumPacketSize != 256<<10 || !p.MaximumQosFlag || p.MaximumQos != 1 ||
		p.TopicAliasMaximum != 0 || !p.SubIDAvailableFlag || p.SubIDAvailable != 0 ||
		!p.SharedSubAvailableFlag || p.SharedSubAvailable != 0 {
		t.Errorf("CONNACK announces %+v", p)
	}
}

func TestRefusedLogins(t *testing.T) {
	w := newWorld(t)
	victim, thief := w.visitor(), w.visitor()
	foreign := w.visitorOf(w.other, "")
	w.keepSecret("will of a stranger")
	for _, test := range []struct {
		name   string
		change func(*login)
		v3, v5 byte
	}{
		{"no password", func(l *login) {
			l.change = func(pk *packets.Packet) { pk.Connect.PasswordFlag, pk.Connect.Password = false, nil }
		}, 4, 0x86},
		{"empty password", func(l *login) { l.token = "" }, 5, 0x82},
		{"not a token", func(l *login) { l.token = "a.b." + canary }, 4, 0x86},
		{"refresh token", func(l *login) { l.token = thief.RefreshToken }, 4, 0x86},
		{"tampered token", func(l *login) { l.token = l.token[:len(l.token)-4] + "AAAA" }, 4, 0x86},
		{"token of the other site for this device", func(l *login) { l.token = foreign.Token }, 2, 0x85},
		{"victim's client identifier", func(l *login) { l.identifier = victim.Identity.ClientID() }, 2, 0x85},
		{"no client identifier", func(l *login) { l.identifier = "" }, 2, 0x85},
		{"internal client identifier", func(l *login) { l.identifier = thief.Identity.DeviceKey() }, 2, 0x85},
		{"client identifier in capitals", func(l *login) { l.identifier = strings.ToUpper(l.identifier) }, 2, 0x85},
		{"will", func(l *login) {
			l.change = func(pk *packets.Packet) {
				pk.Connect.WillFlag, pk.Connect.WillTopic = true, "p1/site_one/presence/somebody"
				pk.Connect.WillPayload = []byte("will of a stranger")
			}
		}, 5, 0x83},
		{"empty will", func(l *login) {
			l.change = func(pk *packets.Packet) {
				pk.Connect.WillFlag, pk.Connect.WillTopic = true, "p1/site_one/presence/somebody"
				pk.Connect.WillPayload = nil
			}
		}, 5, 0x83},
		{"retained will on $SYS", func(l *login) {
			l.change = func(pk *packets.Packet) {
				pk.Connect.WillFlag, pk.Connect.WillRetain, pk.Connect.WillTopic = true, true, "$SYS/broker/version"
				pk.Connect.WillPayload = []byte("will of a stranger")
			}
		}, 5, 0x83},
	} {
		t.Run(test.name, func(t *testing.T) {
			versions(t, func(t *testing.T, version byte) {
				live := w.connect(t, victim, 5)
				l := as(thief, version)
				test.change(&l)
				c, ack := w.try(t, l)
				want := test.v3
				if version == 5 {
					want = test.v5
				}
				if ack.ReasonCode != want || ack.SessionPresent {
					t.Errorf("CONNACK %#x, want %#x", ack.ReasonCode, want)
				}
				c.expectEnd()
				live.ping() // nobody was disturbed
			})
		})
	}
	if n := w.broker.Stats().Takeovers; n > 22 { // the victim's own reconnects
		t.Errorf("%d takeovers", n)
	}
}

func TestOldProtocolIsRefused(t *testing.T) {
	w := newWorld(t)
	l := as(w.visitor(), 3)
	l.change = func(pk *packets.Packet) { pk.Connect.ProtocolName = []byte("MQIsdp") }
	if _, ack := w.try(t, l); ack.ReasonCode != 1 {
		t.Errorf("CONNACK %#x", ack.ReasonCode)
	}
}

func TestTokenEndsDuringTheConnection(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		w.tokenLife = 2 * time.Second // tokens count in whole seconds
		w.restart()
		c := w.connect(t, w.visitor(), version)
		c.expectDisconnect(packets.ErrNotAuthorized)
	})
}

func TestSilentConnectionsAreClosed(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.ConnectTimeout = 200 * time.Millisecond })
	full := encode(as(w.visitor(), 5).packet(), 5)
	for name, first := range map[string][]byte{
		"says nothing": nil, "one byte": full[:1], "most of CONNECT": full[:len(full)-1],
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, w.dial(t), 5)
			c.raw(first)
			c.expectEnd()
		})
	}
}

// CONNECT that comes byte by byte does not move the deadline.
func TestDrippingConnectIsClosed(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.ConnectTimeout = 300 * time.Millisecond })
	full := encode(as(w.visitor(), 5).packet(), 5)
	c := open(t, w.dial(t), 5)
	tick := time.NewTicker(5 * time.Millisecond) // the whole would take seconds
	defer tick.Stop()
	for _, b := range full {
		<-tick.C
		c.raw([]byte{b})
		c.mu.Lock()
		ended := c.ended
		c.mu.Unlock()
		if ended != nil {
			return
		}
	}
	t.Error("the whole CONNECT was read")
}

func TestFirstPacketIsCheckedBeforeItIsRead(t *testing.T) {
	w := newWorld(t)
	for name, first := range map[string][]byte{
		"huge remaining length":           {0x10, 0xff, 0xff, 0xff, 0x7f},
		"256 KiB":                         {0x10, 0x80, 0x80, 0x10},
		"one above 16 KiB":                {0x10, 0x81, 0x80, 0x01},
		"length without an end":           {0x10, 0xff, 0xff, 0xff, 0xff, 0xff},
		"CONNECT with flags":              {0x11, 0x00},
		"PINGREQ":                         {0xc0, 0x00},
		"SUBSCRIBE that panics":           {0x82, 0x07, 0, 1, 0, 0, 1, 'a', 0},
		"an HTTP request":                 []byte("GET / HTTP/1.1\r\n\r\n"),
		"TLS":                             {0x16, 0x03, 0x01, 0x02, 0x00},
		"empty CONNECT":                   {0x10, 0x00},
		"CONNECT with a protocol of 64 K": {0x10, 0x04, 0xff, 0xff, 'M', 'Q'},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, w.dial(t), 5)
			c.raw(first)
			c.expectEnd()
		})
	}
	w.connect(t, w.visitor(), 5)
}

// Whoever says nothing keeps nobody out: the oldest silent connection of the
// address that has the most makes room.
func TestTooManySilentConnections(t *testing.T) {
	const most = 20
	w := newWorld(t, func(o *broker.Options) { o.MaxPending = most })
	logged := w.connect(t, w.visitor(), 5) // does not count any more
	silent := make([]*client, most)
	for i := range silent {
		silent[i] = open(t, w.dial(t), 5)
		await(t, func() string {
			if n := w.broker.Pending(); n != i+1 {
				return fmt.Sprintf("%d of %d are waiting", n, i+1)
			}
			return ""
		})
	}
	w.connect(t, w.visitor(), 5).ping()
	silent[0].expectEnd()
	if n := w.broker.Stats().TurnedAway; n != 1 {
		t.Errorf("%d turned away", n)
	}
	if n := w.broker.Pending(); n != most-1 {
		t.Errorf("%d are waiting", n)
	}
	logged.ping()
}

// One address that opens more and more does not push out what others open.
func TestTheCrowdedAddressMakesRoom(t *testing.T) {
	const most = 10
	w := newWorld(t, func(o *broker.Options) { o.MaxPending = most })
	patient := open(t, w.dialFrom(t, "127.0.0.2"), 5)
	for range 3 * most {
		w.dial(t)
	}
	await(t, func() string {
		if n := w.broker.Stats().TurnedAway; n != 2*most+1 {
			return fmt.Sprintf("%d turned away", n)
		}
		return ""
	})
	patient.send(as(w.visitor(), 5).packet())
	patient.expect(packets.Connack)
	patient.ping()
}

// dialFrom connects from another address of this machine.
func (w *world) dialFrom(t testing.TB, address string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := d.DialContext(t.Context(), "tcp", w.tcp)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestKeepAliveIsKeptInBounds(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct{ asked, told uint16 }{{0, 60}, {1, 5}, {4, 5}, {5, 0}, {60, 0}, {61, 60}, {43_691, 60}, {65_535, 60}} {
		l := as(w.visitor(), 5)
		l.keepAlive = test.asked
		c, ack := w.try(t, l)
		if ack.Properties.ServerKeepAlive != test.told {
			t.Errorf("keep alive %d: told %d, want %d", test.asked, ack.Properties.ServerKeepAlive, test.told)
		}
		c.ping()
		l.version = 4 // nobody is told, nothing overflows into an early end
		c, _ = w.try(t, l)
		c.ping()
	}
}

func TestSilenceBeyondKeepAliveEndsTheConnection(t *testing.T) {
	w := newWorld(t)
	l := as(w.visitor(), 4)
	l.keepAlive = 1
	c, _ := w.try(t, l)
	c.expectEnd()
	awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
}

func TestSecondConnectEndsTheConnection(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		l := as(w.visitor(), version)
		c, _ := w.try(t, l)
		c.send(l.packet())
		c.expectDisconnect(packets.ErrProtocolViolationSecondConnect)
	})
}

// A client whose packets come in pieces that never end where packets do is not
// silent.
func TestPiecesAreNoSilence(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	l := as(who, 4)
	l.keepAlive = 1
	c := w.connectWith(t, who, l)
	pings := bytes.Repeat([]byte{packets.Pingreq << 4, 0}, 40)
	for len(pings) > 1 {
		n := min(2, len(pings)-1)
		if len(pings) == 80 {
			n = 1 // from here on each piece ends one packet and begins the next
		}
		c.raw(pings[:n])
		pings = pings[n:]
		time.Sleep(75 * time.Millisecond) // the client's pace
	}
	c.raw(pings)
	c.expectAck(c.post(w.conversation(who, 0), draft()))
}
