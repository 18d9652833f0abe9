package broker_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// client is a bare MQTT client: it sends what it is told, and keeps what comes
// in until a test asks for it.
type client struct {
	t       testing.TB
	conn    io.ReadWriteCloser
	version byte
	who     parley.Identity
	lastID  uint16

	mu      sync.Mutex
	inbox   []packets.Packet
	changed chan struct{} // closed and replaced at every change
	ended   error
	holding bool     // deliveries are not acknowledged
	unacked []uint16 // of deliveries held
	most    int      // the longest unacked has been
}

// login is what a test says in CONNECT.
type login struct {
	version    byte
	token      string
	identifier string
	clean      bool
	expiry     uint32 // session expiry, MQTT 5
	window     uint16 // Receive Maximum, MQTT 5
	mostBytes  uint32 // Maximum Packet Size, MQTT 5
	keepAlive  uint16
	hold       bool // do not acknowledge deliveries
	change     func(*packets.Packet)
}

// as fills in the login of a device.
func as(c parley.Credentials, version byte) login {
	return login{version: version, token: c.Token, identifier: c.Identity.ClientID(), clean: true, keepAlive: 30}
}

// persistent makes the session outlive the connection.
func (l login) persistent() login {
	l.clean, l.expiry = false, 3600
	return l
}

func (l login) packet() packets.Packet {
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: l.version,
		Connect: packets.ConnectParams{
			ProtocolName: []byte("MQTT"), Clean: l.clean, Keepalive: l.keepAlive, ClientIdentifier: l.identifier,
			UsernameFlag: true, Username: []byte("anything"), PasswordFlag: true, Password: []byte(l.token),
		},
	}
	if l.version == 5 {
		p := &pk.Properties
		p.SessionExpiryInterval, p.SessionExpiryIntervalFlag = l.expiry, l.expiry > 0
		p.ReceiveMaximum, p.MaximumPacketSize = l.window, l.mostBytes
	}
	if l.change != nil {
		l.change(&pk)
	}
	return pk
}

// dial opens a connection that says nothing yet.
func (w *world) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", w.tcp)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// open makes a client on conn that has not sent CONNECT.
func open(t testing.TB, conn io.ReadWriteCloser, version byte) *client {
	c := &client{t: t, conn: conn, version: version, changed: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.read()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return c
}

// try sends CONNECT and returns the CONNACK, whatever it says.
func (w *world) try(t testing.TB, l login) (*client, packets.Packet) {
	t.Helper()
	return tryOn(t, w.dial(t), l)
}

func tryOn(t testing.TB, conn io.ReadWriteCloser, l login) (*client, packets.Packet) {
	t.Helper()
	c := open(t, conn, l.version)
	c.holding = l.hold
	c.send(l.packet())
	return c, c.expect(packets.Connack)
}

// connect logs in over TCP.
func (w *world) connect(t testing.TB, who parley.Credentials, version byte) *client {
	t.Helper()
	return w.connectWith(t, who, as(who, version))
}

// resume logs in with a session that outlives the connection.
func (w *world) resume(t testing.TB, who parley.Credentials, version byte) *client {
	t.Helper()
	return w.connectWith(t, who, as(who, version).persistent())
}

func (w *world) connectWith(t testing.TB, who parley.Credentials, l login) *client {
	t.Helper()
	return connectOn(t, w.dial(t), who, l)
}

// connectOn logs in on conn, which must succeed.
func connectOn(t testing.TB, conn io.ReadWriteCloser, who parley.Credentials, l login) *client {
	t.Helper()
	c, ack := tryOn(t, conn, l)
	if ack.ReasonCode != 0 {
		t.Fatalf("CONNECT refused with %#x", ack.ReasonCode)
	}
	c.who = who.Identity
	return c
}

func (c *client) read() {
	r := bufio.NewReader(c.conn)
	for {
		pk, err := readPacket(r, c.version)
		c.mu.Lock()
		if err != nil {
			c.ended = err
		} else {
			c.take(pk)
		}
		close(c.changed)
		c.changed = make(chan struct{})
		holding := c.holding
		c.mu.Unlock()
		if err != nil {
			return
		}
		if pk.FixedHeader.Type == packets.Publish && pk.FixedHeader.Qos == 1 && !holding {
			_, _ = c.conn.Write(encode(puback(pk.PacketID), c.version))
		}
	}
}

func (c *client) take(pk packets.Packet) {
	c.inbox = append(c.inbox, pk)
	if c.holding && pk.FixedHeader.Type == packets.Publish && pk.FixedHeader.Qos == 1 {
		c.unacked = append(c.unacked, pk.PacketID)
		c.most = max(c.most, len(c.unacked))
	}
}

// acknowledge sends PUBACK for the n oldest deliveries held.
func (c *client) acknowledge(n int) {
	c.mu.Lock()
	ids := c.unacked[:n]
	c.unacked = c.unacked[n:]
	c.mu.Unlock()
	for _, id := range ids {
		c.send(puback(id))
	}
}

// await takes the first packet that matches out of the inbox.
func (c *client) await(what string, match func(packets.Packet) bool) packets.Packet {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		i := slices.IndexFunc(c.inbox, match)
		if i >= 0 {
			pk := c.inbox[i]
			c.inbox = slices.Delete(c.inbox, i, i+1)
			c.mu.Unlock()
			return pk
		}
		changed, ended, inbox := c.changed, c.ended, describe(c.inbox)
		c.mu.Unlock()
		if ended != nil {
			c.t.Fatalf("waiting for %s: the connection ended: %v; inbox: %s", what, ended, inbox)
		}
		select {
		case <-changed:
		case <-timeout:
			c.t.Fatalf("waiting for %s: nothing came; inbox: %s", what, inbox)
		}
	}
}

func describe(inbox []packets.Packet) string {
	var b bytes.Buffer
	for _, pk := range inbox {
		fmt.Fprintf(&b, "%s %d %s code %#x; ", packets.PacketNames[pk.FixedHeader.Type], pk.PacketID, pk.TopicName, pk.ReasonCode)
	}
	return b.String()
}

// expect takes the next packet of a type.
func (c *client) expect(kind byte) packets.Packet {
	c.t.Helper()
	return c.await(packets.PacketNames[kind], func(pk packets.Packet) bool { return pk.FixedHeader.Type == kind })
}

// expectNone fails if a packet that matches is in the inbox. The caller has
// waited for something that comes later.
func (c *client) expectNone(what string, match func(packets.Packet) bool) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pk := range c.inbox {
		if match(pk) {
			c.t.Errorf("there is %s: %s", what, describe([]packets.Packet{pk}))
		}
	}
}

// expectEnd waits until the server has closed the connection.
func (c *client) expectEnd() {
	c.t.Helper()
	_ = c.ending()
}

// ending waits until the server has closed the connection, and returns how.
func (c *client) ending() error {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		changed, ended := c.changed, c.ended
		c.mu.Unlock()
		if ended != nil {
			return ended
		}
		select {
		case <-changed:
		case <-timeout:
			c.t.Fatal("the server did not close the connection")
		}
	}
}

// expectDisconnect waits for the end; over MQTT 5 a DISCONNECT with the reason
// has come before.
func (c *client) expectDisconnect(reason packets.Code) {
	c.t.Helper()
	c.expectEnd()
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.inbox, func(pk packets.Packet) bool { return pk.FixedHeader.Type == packets.Disconnect })
	switch {
	case c.version < 5 && i >= 0:
		c.t.Error("a DISCONNECT was sent to a 3.1.1 client")
	case c.version == 5 && i < 0:
		c.t.Errorf("the connection ended without a DISCONNECT: %v", c.ended)
	case c.version == 5 && c.inbox[i].ReasonCode != reason.Code:
		c.t.Errorf("DISCONNECT with %#x, want %#x", c.inbox[i].ReasonCode, reason.Code)
	}
}

// send sends a packet.
func (c *client) send(pk packets.Packet) {
	c.t.Helper()
	c.raw(encode(pk, c.version))
}

// raw sends bytes. That the server has closed is noticed by what is read.
func (c *client) raw(p []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(p); err != nil && !closedByPeer(err) {
		c.t.Fatalf("write: %v", err)
	}
}

func closedByPeer(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, websocket.ErrCloseSent) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed)
}

// hangUp closes the connection without a word.
func (c *client) hangUp() { _ = c.conn.Close() }

// ping shows that the server reads and answers.
func (c *client) ping() {
	c.t.Helper()
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
	c.expect(packets.Pingresp)
}

func (c *client) nextID() uint16 {
	c.lastID++
	return c.lastID
}
