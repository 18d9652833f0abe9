package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Login is how a device connects. Without a password it sends no user name.
type Login struct {
	ClientID, Password string
}

const (
	keepAlive    = 60 // seconds; no scenario is silent for longer
	setupSeconds = 20 // that an answer may take before a connection is in a Loop
)

// Conn is one connection. Until it is added to a Loop its methods block; one
// goroutine may use it at a time.
type Conn struct {
	fd        int
	websocket bool
	in        []byte // received, not decoded
	out       []byte // to be sent

	handler Handler
	dirty   bool // is among the loop's connections to flush
	full    bool // the socket took not everything; the loop waits until it takes more
}

// Dial connects to a TCP address of this machine.
func Dial(addr string) (*Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &Conn{fd: fd}
	if err := c.connect(to); err != nil {
		c.Close()
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return c, nil
}

func (c *Conn) connect(to netip.AddrPort) error {
	if err := syscall.SetsockoptInt(c.fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		return err
	}
	wait := syscall.Timeval{Sec: setupSeconds}
	if err := syscall.SetsockoptTimeval(c.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &wait); err != nil {
		return err
	}
	return restart(func() error {
		return syscall.Connect(c.fd, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	})
}

// restart repeats a system call that a signal broke off.
func restart(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// Close resets the connection: the peer sees it at once, and the port is free
// again. Closing twice does nothing.
func (c *Conn) Close() {
	if c.fd < 0 {
		return
	}
	_ = syscall.SetsockoptLinger(c.fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	_ = syscall.Close(c.fd)
	c.fd = -1
}

// Leave says goodbye as MQTT wants it, waits until the server has closed too,
// and closes.
func (c *Conn) Leave() error {
	defer c.Close()
	if err := c.send([]byte{packets.Disconnect << 4, 0}); err != nil {
		return err
	}
	for {
		if err := c.receive(); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
				return nil
			}
			return err
		}
	}
}

// Connect logs in and waits for the answer.
func (c *Conn) Connect(login Login, clean bool) error {
	if err := c.send(connectPacket(login, clean)); err != nil {
		return fmt.Errorf("send CONNECT: %w", err)
	}
	p, err := c.await(packets.Connack)
	if err != nil {
		return err
	}
	return connackError(p)
}

func connackError(body []byte) error {
	if len(body) != 2 || body[1] != 0 {
		return fmt.Errorf("CONNECT was refused: % x", body)
	}
	return nil
}

// Subscribe subscribes to filter at QoS 1 and waits for the answer.
func (c *Conn) Subscribe(filter string) error {
	body := appendString([]byte{0, 1}, filter)
	if err := c.send(appendPacket(nil, packets.Subscribe<<4|2, append(body, 1))); err != nil {
		return fmt.Errorf("send SUBSCRIBE: %w", err)
	}
	p, err := c.await(packets.Suback)
	if err != nil {
		return err
	}
	if len(p) != 3 || p[2] != 1 {
		return fmt.Errorf("SUBSCRIBE was refused: % x", p)
	}
	return nil
}

// await reads one packet, which must be of kind, and returns what follows its
// fixed header.
func (c *Conn) await(kind byte) ([]byte, error) {
	for {
		header, body, size, err := split(c.in)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			if err := c.receive(); err != nil {
				return nil, fmt.Errorf("wait for %s: %w", packets.PacketNames[kind], err)
			}
			continue
		}
		c.in = c.in[size:]
		if header>>4 != kind {
			return nil, fmt.Errorf("expected %s, got %s", packets.PacketNames[kind], packets.PacketNames[header>>4])
		}
		return body, nil
	}
}

// send writes p, blocking.
func (c *Conn) send(p []byte) error {
	if c.websocket {
		p = appendFrame(nil, p)
	}
	for len(p) > 0 {
		n, err := syscall.Write(c.fd, p)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// receive reads what there is, blocking until there is something.
func (c *Conn) receive() error {
	if c.websocket {
		return c.receiveFrame()
	}
	buf := make([]byte, 512)
	n, err := c.read(buf)
	c.in = append(c.in, buf[:n]...)
	return err
}

func (c *Conn) read(buf []byte) (n int, err error) {
	err = restart(func() (err error) {
		n, err = syscall.Read(c.fd, buf)
		return err
	})
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// split cuts the first packet off b: its first byte, what follows its fixed
// header, and its whole size, 0 when it is not complete.
func split(b []byte) (header byte, body []byte, size int, err error) {
	if len(b) < 2 {
		return 0, nil, 0, nil
	}
	length, n := binary.Uvarint(b[1:]) // the same encoding as MQTT's
	if n < 0 || n > 4 {
		return 0, nil, 0, errors.New("received a packet without a valid length")
	}
	size = 1 + n + int(length)
	if n == 0 || len(b) < size {
		return 0, nil, 0, nil
	}
	return b[0], b[1+n : size], size, nil
}

func connectPacket(login Login, clean bool) []byte {
	var flags byte
	if clean {
		flags |= 1 << 1
	}
	if login.Password != "" {
		flags |= 1<<7 | 1<<6
	}
	body := appendString(nil, "MQTT")
	body = append(body, 4, flags, 0, keepAlive)
	body = appendString(body, login.ClientID)
	if login.Password != "" {
		body = appendString(body, login.ClientID)
		body = appendString(body, login.Password)
	}
	return appendPacket(nil, packets.Connect<<4, body)
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func appendPacket(b []byte, header byte, body []byte) []byte {
	b = binary.AppendUvarint(append(b, header), uint64(len(body)))
	return append(b, body...)
}
