package broker

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
)

// conn is a client's connection. It reads packets without holding a buffer
// between them, bounds every write, lets pumps write packets they encoded
// themselves, and closes on the first write error: a packet that was written in
// part must not be followed by another.
type conn struct {
	net.Conn
	socket    net.Conn     // below a WebSocket; the same as Conn on TCP
	network   netip.Prefix // where it comes from
	origin    string       // of the web page, empty where there is none
	writeTime atomic.Int64 // bound of one write in nanoseconds
	endBy     atomic.Int64 // Unix nanoseconds after which nothing is written, 0 for no end
	closeWith func(code int)

	loggedIn atomic.Bool
	session  atomic.Pointer[session]
	intake   intake

	place place // at the gate

	// Of the goroutine that reads.
	hello   []byte // CONNECT, from when it was read until it is decided about
	client  *mqtt.Client
	got     *buffer       // what has come in and was not read yet
	idle    time.Duration // after which a silent client is given up, 0 for never
	idleSet time.Time     // when the read deadline was set last

	mu      sync.Mutex // one packet, or run of packets, at a time
	broken  error
	writeBy int64 // the write deadline that is set, Unix nanoseconds

	left      atomic.Bool // the client has gone or has said goodbye: what ends the connection is no fault of its own
	closing   sync.Once
	closeCode atomic.Int32 // WebSocket close code, 0 for none
}

var errBroken = errors.New("connection had a write error")

// await waits, between packets, until one begins. Acknowledgements of deliveries
// are taken out here, undecoded: they come as often as deliveries do.
func (c *conn) await() error {
	for {
		if err := c.fill(); err != nil {
			return err
		}
		if s := c.session.Load(); s != nil {
			for n := pubackIn(c.got.rest); n > 0; n = pubackIn(c.got.rest) {
				s.acknowledged(uint16(c.got.rest[2])<<8 | uint16(c.got.rest[3]))
				c.got.rest = c.got.rest[n:]
			}
		}
		if len(c.got.rest) > 0 {
			return nil
		}
	}
}

// fill waits until there are bytes that were not read.
func (c *conn) fill() error {
	if c.got != nil && len(c.got.rest) > 0 {
		return nil
	}
	c.release()
	got, err := c.intake.next()
	if err != nil {
		if !errors.Is(err, errNotBinary) {
			c.left.Store(true)
		}
		return err
	}
	c.got = got
	c.heard()
	return nil
}

// release gives the buffer back.
func (c *conn) release() {
	if c.got != nil {
		c.got.giveBack()
		c.got = nil
	}
}

// more reports whether the next packet has begun to come in.
func (c *conn) more() bool { return c.got != nil && len(c.got.rest) > 0 }

func (c *conn) readByte() (byte, error) {
	if err := c.fill(); err != nil {
		return 0, err
	}
	x := c.got.rest[0]
	c.got.rest = c.got.rest[1:]
	return x, nil
}

// bodyStep is how much room is made for a packet at first: who announces 256 KiB
// and sends nothing must not cost that much.
const bodyStep = 16 << 10

// readBody reads n bytes, which the caller keeps.
func (c *conn) readBody(n int) ([]byte, error) {
	body := make([]byte, 0, min(n, bodyStep))
	for len(body) < n {
		if err := c.fill(); err != nil {
			return nil, err
		}
		part := c.got.rest[:min(n-len(body), len(c.got.rest))]
		body = append(body, part...)
		c.got.rest = c.got.rest[len(part):]
	}
	return body, nil
}

// writeChunk is how much one write bound is for: a phone on a slow link is no
// stuck one as long as it takes 16 KiB in that time.
const writeChunk = 16 << 10

// Write writes whole packets.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	written := 0
	for c.broken == nil && written < len(p) {
		n, err := c.writeSome(p[written:min(len(p), written+writeChunk)])
		written += n
		if err != nil {
			c.broken = errors.Join(errBroken, err)
			c.left.Store(true)
			_ = c.Close()
		}
	}
	return written, c.broken
}

func (c *conn) writeSome(p []byte) (int, error) {
	bound := c.writeTime.Load()
	until := time.Now().UnixNano() + bound
	for end := int64(-1); end != c.endBy.Load(); { // again if hurry came in between
		if end = c.endBy.Load(); end > 0 {
			until = min(until, end)
		}
		if c.writeBy > until || c.writeBy < until-bound/16 { // moving it costs a tenth of a small write
			_ = c.Conn.SetWriteDeadline(time.Unix(0, until))
			c.writeBy = until
		}
	}
	return c.Conn.Write(p)
}

// hurry bounds the write under way and all those to come together: the
// connection is about to end, and its successor is waiting.
func (c *conn) hurry(d time.Duration) {
	until := time.Now().Add(d)
	if c.endBy.CompareAndSwap(0, until.UnixNano()) {
		_ = c.socket.SetWriteDeadline(until)
	}
}

// deadlineStep is how much later than it could be a silent client is given up:
// moving the deadline for every packet costs more than the packet.
const deadlineStep = 500 * time.Millisecond

// keepAlive begins to give up a client that is silent for one and a half times
// its keep alive, 0 for never.
func (c *conn) keepAlive(d time.Duration) {
	c.idle, c.idleSet = d+d/2, time.Time{}
	if d == 0 {
		_ = c.SetReadDeadline(time.Time{})
		return
	}
	c.heard()
}

// heard moves the read deadline after bytes that have come in. Before login the
// connect deadline stands.
func (c *conn) heard() {
	if c.idle == 0 {
		return
	}
	if now := time.Now(); now.Sub(c.idleSet) >= deadlineStep {
		c.idleSet = now
		_ = c.SetReadDeadline(now.Add(c.idle + deadlineStep))
	}
}

// Close closes the connection, once. A WebSocket is told why first: where nobody
// has given a reason, the engine is closing because the client broke the
// protocol.
func (c *conn) Close() error {
	var err error
	c.closing.Do(func() {
		if !c.left.Load() {
			c.closeCode.CompareAndSwap(0, closeBadClient)
		}
		if c.closeWith != nil {
			c.closeWith(int(c.closeCode.Load()))
		}
		if c.session.Load() != nil && c.closeCode.Load() == closeUnauthorized {
			err = cutOff(c.socket)
			return
		}
		err = c.Conn.Close()
	})
	return err
}
