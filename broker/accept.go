package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"time"
)

// Bounds of the pause after a failed accept.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// accept serves a TCP listener until it is closed. Running out of file
// descriptors is waited out: sessions that exist are not harmed.
func (b *Broker) accept(l net.Listener) {
	pause := acceptPauseMin
	for {
		c, err := l.Accept()
		if err == nil {
			pause = acceptPauseMin
			b.serve(b.wrap(c))
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		b.options.Logger.Warn("accept failed", "error", err, "pause", pause)
		time.Sleep(pause)
		pause = min(2*pause, acceptPauseMax)
	}
}

func (b *Broker) wrap(c net.Conn) *conn {
	keepAliveTCP(c)
	w := &conn{Conn: c, socket: c, intake: intakeOf(c), network: networkOf(c.RemoteAddr())}
	w.writeTime.Store(int64(b.options.WriteTimeout))
	return w
}

// serve runs a connection in goroutines of its own.
func (b *Broker) serve(c *conn) {
	others, open := b.gate.enter(c)
	if !open {
		c.closeCode.Store(closeGoingAway)
		_ = c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(b.options.ConnectTimeout))
	if c.greeted() && b.hear(c) == nil {
		b.turnAway(b.gate.queue(c), &refusedCrowded)
	} else {
		go b.run(c)
	}
	b.turnAway(others, &refusedCrowded)
}

// greeted reports whether the whole CONNECT has come in already, as it has when many
// come at once: then nobody needs to wait for it.
func (c *conn) greeted() bool {
	now, ok := c.intake.(interface{ now() *buffer })
	if !ok {
		return false
	}
	c.got = now.now()
	if c.got == nil || c.got.rest[0] != connectFlags {
		return false
	}
	length, n := binary.Uvarint(c.got.rest[1:]) // MQTT's variable byte integer is a uvarint
	return n > 0 && n <= connectLengthBytes && length <= connectBytes && uint64(len(c.got.rest)-1-n) >= length
}

// turnAway ends connections that have not logged in.
func (b *Broker) turnAway(all []dropped, no *refused) {
	if no == &refusedCrowded {
		b.stats.turnedAway.Add(int64(len(all)))
	}
	for _, d := range all {
		if d.waits {
			go b.answerNo(d.conn, no)
			continue
		}
		d.closeCode.CompareAndSwap(0, no.closeCode)
		_ = d.Close() // nothing is known of it that an answer would need
	}
}

// answerNo refuses a connection that waits, and ends it.
func (b *Broker) answerNo(c *conn, no *refused) {
	defer b.finish(c)
	c.hurry(goodbyeTime)
	if pk, err := b.decodeHello(c); err == nil {
		_ = b.refuse(b.newClient(c, pk), c, no) // says no more than that it was done
	}
}

// What becomes of a connection after a stretch.
type next int

const (
	over  next = iota
	goOn       // with another stretch
	later      // it waits at the gate
)

// run is a stretch of a connection: the reading of its CONNECT, its login, or
// waiting for packets and dealing with those that have come in. What these need of
// a stack would stay with the connection while it is silent, so the next stretch is
// a goroutine of its own. A panic in there ends this connection only.
func (b *Broker) run(c *conn) {
	then := over
	defer func() {
		if p := recover(); p != nil {
			b.stats.panics.Add(1)
			c.closeCode.CompareAndSwap(0, closeFault)
			b.options.Logger.Error("panic in a connection", "panic", fmt.Sprint(p), "remote", c.RemoteAddr().String(), "stack", string(debug.Stack()))
		}
		switch then {
		case goOn:
			go b.run(c)
		case over:
			b.finish(c)
		}
	}()
	then = b.stretch(c)
}

func (b *Broker) stretch(c *conn) next {
	var err error
	switch {
	case c.client != nil:
		if err = c.await(); err == nil {
			err = b.receive(c)
		}
	case c.hello != nil:
		err = b.greet(c)
	default:
		if err = b.hear(c); err == nil {
			b.turnAway(b.gate.queue(c), &refusedCrowded)
			return later
		}
	}
	if s := c.session.Load(); s != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		s.disconnect(silent)
	}
	if err != nil {
		b.options.Logger.Debug("connection ended", "error", err, "remote", c.RemoteAddr().String())
		return over
	}
	return goOn
}

// finish releases everything that a connection held.
func (b *Broker) finish(c *conn) {
	if s := c.session.Load(); s != nil {
		s.end()
	}
	_ = c.Close()
	c.release()
	b.gate.leave(c)
}
