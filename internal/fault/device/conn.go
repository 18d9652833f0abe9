package device

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// The MQTT protocol versions.
const (
	MQTT311 byte = 4
	MQTT5   byte = 5
)

const (
	connectTimeout = 3 * time.Second
	keepAlive      = 20 // seconds
	maxPacket      = 1 << 20
	sessionExpiry  = 7 * 24 * 3600 // seconds; what a device that comes back next week asks for
)

// Options says how to connect.
type Options struct {
	Version    byte // MQTT311 or MQTT5
	ClientID   string
	Password   string
	CleanStart bool
	// ReceiveMaximum, over MQTT 5, bounds the unacknowledged deliveries to us;
	// 0 leaves the protocol's 65,535.
	ReceiveMaximum uint16
	// Vigil is how long to wait for a connection, and about how long for a sign
	// of life on it; 0 waits for a connection for 3 s, and for life for ever.
	Vigil time.Duration
	TLS   *tls.Config // nil: none
	// SessionExpiry, over MQTT 5 without CleanStart, is how long the session is to
	// outlive the connection, in seconds; 0 means a week.
	SessionExpiry uint32
}

// Conn is a bare MQTT connection: packets out, packets in. It resends nothing,
// acknowledges nothing and checks nothing, so that a test can misbehave. One
// goroutine may write while another reads; several may write.
type Conn struct {
	net     net.Conn
	reader  *bufio.Reader
	version byte
	silence time.Duration // after which Read gives up, if not 0

	mu sync.Mutex // guards writes to net
}

// RefusedError is a CONNACK that says no.
type RefusedError struct {
	Reason byte
}

// tokenRefused reports whether err is a CONNACK, ours or paho's, that does not take
// the token.
func tokenRefused(err error) bool {
	var refused *RefusedError
	if errors.As(err, &refused) {
		return slices.Contains([]byte{0x86, 0x87, 4, 5}, refused.Reason)
	}
	return pahoRefused(err)
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("connection refused, reason 0x%02x", e.Reason)
}

// Connect dials addr and makes the MQTT handshake. It fails with a RefusedError
// when the server refuses.
func Connect(ctx context.Context, addr string, o Options) (c *Conn, sessionPresent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.patience())
	defer cancel()
	var dialer net.Dialer
	socket, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, false, fmt.Errorf("dial: %w", err)
	}
	return shakeHands(ctx, socket, secured(socket, o.TLS), o)
}

// shakeHands makes the MQTT handshake on what is made of a socket, until ctx ends.
func shakeHands(ctx context.Context, socket, secured net.Conn, o Options) (c *Conn, sessionPresent bool, err error) {
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	c = NewConn(secured, o.Version)
	sessionPresent, err = c.handshake(o)
	if err != nil {
		socket.Close()
		return nil, false, err
	}
	c.silence = 3 * o.Vigil
	return c, sessionPresent, nil
}

// secured makes the TLS handshake with the first byte that is sent.
func secured(socket net.Conn, config *tls.Config) net.Conn {
	if config == nil {
		return socket
	}
	return tls.Client(socket, config)
}

func (o Options) patience() time.Duration {
	if o.Vigil > 0 {
		return o.Vigil
	}
	return connectTimeout
}

// NewConn wraps a socket on which nothing has been said yet, for those who want
// to make the handshake themselves.
func NewConn(socket net.Conn, version byte) *Conn {
	return &Conn{net: socket, reader: bufio.NewReaderSize(socket, 32<<10), version: version}
}

func (c *Conn) handshake(o Options) (sessionPresent bool, err error) {
	connect := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Connect},
		Connect: packets.ConnectParams{
			ProtocolName: []byte("MQTT"), ClientIdentifier: o.ClientID, Clean: o.CleanStart, Keepalive: keepAlive,
			UsernameFlag: true, PasswordFlag: true, Password: []byte(o.Password),
		},
	}
	if o.Version == MQTT5 && !o.CleanStart {
		connect.Properties.SessionExpiryInterval, connect.Properties.SessionExpiryIntervalFlag = cmp.Or(o.SessionExpiry, sessionExpiry), true
	}
	if o.Version == MQTT5 {
		connect.Properties.ReceiveMaximum = o.ReceiveMaximum
	}
	if err := c.Write(&connect); err != nil {
		return false, err
	}
	ack, err := c.Read()
	if err != nil {
		return false, err
	}
	if ack.FixedHeader.Type != packets.Connack {
		return false, fmt.Errorf("expected CONNACK, got %s", packets.PacketNames[ack.FixedHeader.Type])
	}
	if ack.ReasonCode != 0 {
		return false, &RefusedError{ack.ReasonCode}
	}
	return ack.SessionPresent, nil
}

// Close closes the socket without a DISCONNECT, as a lost network would.
func (c *Conn) Close() { c.net.Close() }

// Disconnect says good-bye and closes the socket.
func (c *Conn) Disconnect() {
	_ = c.Write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}}) // the peer may be gone
	c.net.Close()
}

// Raw returns the socket, and the reader through which Read reads it, for those
// to whom a packet at a time is too slow.
func (c *Conn) Raw() (net.Conn, *bufio.Reader) { return c.net, c.reader }

// Write sends one packet. The types that a client sends are supported; the
// protocol version is filled in.
func (c *Conn) Write(pk *packets.Packet) error {
	pk.ProtocolVersion = c.version
	var buf bytes.Buffer
	if err := encode(pk, &buf); err != nil {
		return fmt.Errorf("encode %s: %w", packets.PacketNames[pk.FixedHeader.Type], err)
	}
	return c.WriteRaw(buf.Bytes())
}

// WriteRaw sends bytes as they are.
func (c *Conn) WriteRaw(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.net.Write(b); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func encode(pk *packets.Packet, buf *bytes.Buffer) error {
	switch pk.FixedHeader.Type {
	case packets.Connect:
		return pk.ConnectEncode(buf)
	case packets.Publish:
		return pk.PublishEncode(buf)
	case packets.Puback:
		return pk.PubackEncode(buf)
	case packets.Subscribe:
		pk.FixedHeader.Qos = 1 // reserved bits of the header [MQTT-3.8.1-1]
		return pk.SubscribeEncode(buf)
	case packets.Unsubscribe:
		pk.FixedHeader.Qos = 1
		return pk.UnsubscribeEncode(buf)
	case packets.Pingreq:
		return pk.PingreqEncode(buf)
	case packets.Disconnect:
		return pk.DisconnectEncode(buf)
	}
	return errors.New("not a packet that a client sends")
}

// Publish sends a message at QoS 1 under the packet identifier.
func (c *Conn) Publish(packetID uint16, topic string, payload []byte) error {
	return c.Write(&packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1},
		PacketID:    packetID, TopicName: topic, Payload: payload,
	})
}

// Subscribe asks for one filter at QoS 1. The answer comes from Read.
func (c *Conn) Subscribe(packetID uint16, filter string) error {
	return c.Write(&packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe},
		PacketID:    packetID, Filters: packets.Subscriptions{{Filter: filter, Qos: 1}},
	})
}

// Acknowledge sends a PUBACK.
func (c *Conn) Acknowledge(packetID uint16) error {
	return c.Write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: packetID})
}

// Ping sends a PINGREQ.
func (c *Conn) Ping() error {
	return c.Write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
}

// Read returns the next packet. It blocks until there is one or the connection
// ends.
func (c *Conn) Read() (*packets.Packet, error) {
	if c.silence > 0 {
		_ = c.net.SetReadDeadline(time.Now().Add(c.silence)) // fails only on a closed socket, as Read then does
	}
	pk := &packets.Packet{ProtocolVersion: c.version}
	header, err := c.reader.ReadByte()
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if err := pk.FixedHeader.Decode(header); err != nil {
		return nil, fmt.Errorf("decode header: %w", err)
	}
	length, _, err := packets.DecodeLength(c.reader)
	if err != nil {
		return nil, fmt.Errorf("decode length: %w", err)
	}
	if length > maxPacket {
		return nil, fmt.Errorf("packet of %d bytes, expected at most %d", length, maxPacket)
	}
	pk.FixedHeader.Remaining = length
	body := make([]byte, length)
	if _, err := io.ReadFull(c.reader, body); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if err := decode(pk, body); err != nil {
		return nil, fmt.Errorf("decode %s: %w", packets.PacketNames[pk.FixedHeader.Type], err)
	}
	return pk, nil
}

func decode(pk *packets.Packet, body []byte) error {
	switch pk.FixedHeader.Type {
	case packets.Connack:
		return pk.ConnackDecode(body)
	case packets.Publish:
		return pk.PublishDecode(body)
	case packets.Puback:
		return pk.PubackDecode(body)
	case packets.Suback:
		return pk.SubackDecode(body)
	case packets.Unsuback:
		return pk.UnsubackDecode(body)
	case packets.Pingresp:
		return nil
	case packets.Disconnect:
		return pk.DisconnectDecode(body)
	}
	return errors.New("not a packet that a server sends")
}

// SeqOf returns the position that a PUBACK tells, 0 if it tells none.
func SeqOf(puback *packets.Packet) int64 {
	for _, p := range puback.Properties.User {
		if p.Key == "seq" {
			seq, _ := strconv.ParseInt(p.Val, 10, 64) // not a number is no position
			return seq
		}
	}
	return 0
}

// pingEvery pings until stop is closed, so that the server and we both notice a
// dead connection.
func (c *Conn) pingEvery(d time.Duration, stop <-chan struct{}) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			if c.Ping() != nil {
				c.Close()
				return
			}
		}
	}
}
