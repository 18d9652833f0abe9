package broker

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a client's connection as the engine sees it. It guards what comes in
// before login, bounds every write, lets pumps write packets they encoded
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
	preamble preamble
	inflow   inflow
	session  atomic.Pointer[session]

	idle    time.Duration // after which a silent client is given up, 0 for never; of the reading goroutine
	idleSet time.Time     // when the read deadline was set last

	mu      sync.Mutex // one packet, or run of packets, at a time
	broken  error
	writeBy int64 // the write deadline that is set, Unix nanoseconds

	left      atomic.Bool // the client has gone or has said goodbye: what ends the connection is no fault of its own
	closing   sync.Once
	closeCode atomic.Int32 // WebSocket close code, 0 for none
}

var (
	errPreamble = errors.New("first packet is not a CONNECT of acceptable size")
	errBroken   = errors.New("connection had a write error")
)

// Read passes bytes on, except for acknowledgements of deliveries, which it
// handles; until login it also checks that they begin with a CONNECT of
// acceptable size, before the engine allocates room for it.
func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil && !errors.Is(err, errNotBinary) {
			c.left.Store(true)
		}
		if n > 0 && !c.loggedIn.Load() && !c.preamble.take(p[:n]) {
			return 0, errPreamble
		}
		var acknowledged func(uint16)
		if s := c.session.Load(); s != nil {
			acknowledged = s.onAck
		}
		kept := c.inflow.take(p[:n], acknowledged)
		if len(kept) > 0 || err != nil || n == 0 {
			return len(kept), err
		}
		c.heard()
	}
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

// deadlineStep is how much earlier than it should a silent client may be given
// up: moving the deadline for every packet costs more than the packet.
const deadlineStep = 500 * time.Millisecond

// SetDeadline sets the read deadline only: the engine means keep alive, and
// writes have their own bound. Before login the connect deadline stands.
func (c *conn) SetDeadline(t time.Time) error {
	if !c.loggedIn.Load() {
		return nil
	}
	now := time.Now()
	idle := time.Duration(0)
	if !t.IsZero() {
		idle = t.Sub(now).Round(time.Second)
	}
	if idle == c.idle && now.Sub(c.idleSet) < deadlineStep {
		return nil
	}
	c.idle, c.idleSet = idle, now
	return c.SetReadDeadline(t)
}

// heard moves the read deadline after packets that the engine does not see.
func (c *conn) heard() {
	now := time.Now()
	if c.idle == 0 || now.Sub(c.idleSet) < deadlineStep {
		return
	}
	c.idleSet = now
	_ = c.SetReadDeadline(now.Add(c.idle))
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
		err = c.Conn.Close()
	})
	return err
}

// preamble checks the fixed header of the first packet as its bytes come in.
type preamble struct {
	seen   int // bytes of the fixed header so far
	length int
	done   bool
}

// take looks at the next bytes and reports whether the connection may go on.
func (p *preamble) take(b []byte) bool {
	for _, x := range b {
		if p.done {
			return true
		}
		if !p.next(x) {
			return false
		}
	}
	return true
}

func (p *preamble) next(x byte) bool {
	p.seen++
	if p.seen == 1 {
		return x == 0x10 // CONNECT, flags 0
	}
	if p.seen > 4 {
		return false // 16 KiB needs three length bytes at most
	}
	p.length |= int(x&0x7f) << (7 * (p.seen - 2))
	p.done = x&0x80 == 0
	return p.length <= connectBytes
}
