package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Handler is told what comes in on a connection. Calls come from the goroutine
// that runs the Loop.
type Handler interface {
	// Connected is told of the answer to Loop.Connect.
	Connected()
	// Delivered is given the payload of a PUBLISH, valid during the call. The
	// Loop acknowledges it.
	Delivered(payload []byte)
	// Acknowledged is given the packet identifier of a PUBACK.
	Acknowledged(id uint16)
}

const (
	readBytes  = 256 << 10
	waitEvents = 128
	// maxWait bounds how long the end of a context goes unnoticed.
	maxWait = 100 * time.Millisecond
)

// Loop reads and writes many connections from one goroutine, the only one that
// may use it and them.
type Loop struct {
	epoll  int
	conns  []*Conn // by file descriptor
	dirty  []*Conn // have something to send
	events []syscall.EpollEvent
	buf    []byte
}

// NewLoop returns a Loop without connections.
func NewLoop() (*Loop, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make epoll: %w", err)
	}
	return &Loop{epoll: fd, events: make([]syscall.EpollEvent, waitEvents), buf: make([]byte, readBytes)}, nil
}

// Close closes the loop and all its connections.
func (l *Loop) Close() {
	for _, c := range l.conns {
		if c != nil {
			c.Close()
		}
	}
	l.conns = nil
	_ = syscall.Close(l.epoll)
}

// Add makes c a connection of the loop, which closes it at its end.
func (l *Loop) Add(c *Conn, h Handler) error {
	c.handler = h
	if err := syscall.SetNonblock(c.fd, true); err != nil {
		return fmt.Errorf("add connection: %w", err)
	}
	if err := l.control(syscall.EPOLL_CTL_ADD, c); err != nil {
		return err
	}
	for len(l.conns) <= c.fd {
		l.conns = append(l.conns, nil)
	}
	l.conns[c.fd] = c
	early := c.in // came with an answer
	c.in = nil
	return l.decode(c, early)
}

func (l *Loop) control(op int, c *Conn) error {
	event := syscall.EpollEvent{Fd: int32(c.fd), Events: syscall.EPOLLIN}
	if c.full {
		event.Events |= syscall.EPOLLOUT
	}
	if err := syscall.EpollCtl(l.epoll, op, c.fd, &event); err != nil {
		return fmt.Errorf("watch connection: %w", err)
	}
	return nil
}

// Connect queues a CONNECT on a connection of the loop.
func (l *Loop) Connect(c *Conn, login Login, clean bool) { l.Send(c, connectPacket(login, clean)) }

// Send queues p, which it copies, and sends it together with all that is queued
// before the loop waits again.
func (l *Loop) Send(c *Conn, p []byte) {
	c.out = append(c.out, p...)
	if !c.dirty {
		c.dirty = true
		l.dirty = append(l.dirty, c)
	}
}

// Run reads and writes until step says that it is done, ctx ends, or a
// connection breaks. step is called before every wait, and says how long that
// may be: it is rounded up to milliseconds.
func (l *Loop) Run(ctx context.Context, step func(now time.Time) (wait time.Duration, done bool)) error {
	for {
		wait, done := step(time.Now())
		if err := l.flush(); err != nil || done {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		wait = min(max(wait, 0), maxWait)
		n, err := syscall.EpollWait(l.epoll, l.events, int((wait+time.Millisecond-1)/time.Millisecond))
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("wait for connections: %w", err)
		}
		for i := range max(n, 0) {
			if err := l.handle(&l.events[i]); err != nil {
				return err
			}
		}
	}
}

func (l *Loop) handle(event *syscall.EpollEvent) error {
	c := l.conns[event.Fd]
	if event.Events&syscall.EPOLLOUT != 0 {
		c.full = false
		if err := l.control(syscall.EPOLL_CTL_MOD, c); err != nil {
			return err
		}
		l.Send(c, nil)
	}
	if event.Events&^syscall.EPOLLOUT == 0 {
		return nil
	}
	held := copy(l.buf, c.in)
	n, err := c.read(l.buf[held:])
	if errors.Is(err, syscall.EAGAIN) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the server closed a connection: %w", err)
	}
	return l.decode(c, l.buf[:held+n])
}

// decode handles the whole packets of b and keeps the rest.
func (l *Loop) decode(c *Conn, b []byte) error {
	for {
		header, body, size, err := split(b)
		if err != nil {
			return err
		}
		if size == 0 {
			c.in = append(c.in[:0], b...)
			return nil
		}
		if err := l.packet(c, header, body); err != nil {
			return err
		}
		b = b[size:]
	}
}

var errMalformed = errors.New("received a malformed packet")

func (l *Loop) packet(c *Conn, header byte, body []byte) error {
	switch header >> 4 {
	case packets.Publish:
		return l.publish(c, header, body)
	case packets.Puback:
		if len(body) < 2 {
			return errMalformed
		}
		c.handler.Acknowledged(binary.BigEndian.Uint16(body))
	case packets.Connack:
		if err := connackError(body); err != nil {
			return err
		}
		c.handler.Connected()
	default:
		return fmt.Errorf("received an unexpected %s", packets.PacketNames[header>>4])
	}
	return nil
}

func (l *Loop) publish(c *Conn, header byte, body []byte) error {
	if len(body) < 2 {
		return errMalformed
	}
	at := 2 + int(binary.BigEndian.Uint16(body))
	if header&(3<<1) != 0 { // QoS above 0
		if len(body) < at+2 {
			return errMalformed
		}
		l.Send(c, []byte{packets.Puback << 4, 2, body[at], body[at+1]})
		at += 2
	}
	if len(body) < at {
		return errMalformed
	}
	c.handler.Delivered(body[at:])
	return nil
}

// flush sends what is queued, as far as the sockets take it.
func (l *Loop) flush() error {
	for _, c := range l.dirty {
		c.dirty = false
		if c.full || len(c.out) == 0 {
			continue
		}
		n, err := syscall.Write(c.fd, c.out)
		if err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("the server closed a connection: %w", err)
		}
		n = max(n, 0)
		c.out = c.out[:copy(c.out, c.out[n:])]
		if len(c.out) > 0 {
			c.full = true
			if err := l.control(syscall.EPOLL_CTL_MOD, c); err != nil {
				return err
			}
		}
	}
	l.dirty = l.dirty[:0]
	return nil
}
