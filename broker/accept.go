package broker

import (
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

// serve runs a connection in a goroutine of its own.
func (b *Broker) serve(c *conn) {
	dropped, open := b.gate.enter(c)
	if !open {
		c.closeCode.Store(closeGoingAway)
		_ = c.Close()
		return
	}
	if dropped != nil {
		b.stats.turnedAway.Add(1)
		dropped.closeCode.CompareAndSwap(0, closeTooMany)
		_ = dropped.Close()
	}
	_ = c.SetReadDeadline(time.Now().Add(b.options.ConnectTimeout))
	go b.run(c)
}

// run is a stretch of a connection: its login, or waiting for packets and dealing
// with those that have come in. What these need of a stack would stay with the
// connection while it is silent, so the next stretch is a goroutine of its own.
// A panic in there ends this connection only.
func (b *Broker) run(c *conn) {
	goesOn := false
	defer func() {
		if p := recover(); p != nil {
			b.stats.panics.Add(1)
			c.closeCode.CompareAndSwap(0, closeFault)
			b.options.Logger.Error("panic in a connection", "panic", fmt.Sprint(p), "remote", c.RemoteAddr().String(), "stack", string(debug.Stack()))
		}
		if goesOn {
			go b.run(c)
			return
		}
		b.finish(c)
	}()
	goesOn = b.stretch(c)
}

func (b *Broker) stretch(c *conn) bool {
	var err error
	if c.client == nil {
		err = b.greet(c)
	} else if err = c.await(); err == nil {
		err = b.receive(c)
	}
	if s := c.session.Load(); s != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		s.disconnect(silent)
	}
	if err != nil {
		b.options.Logger.Debug("connection ended", "error", err, "remote", c.RemoteAddr().String())
	}
	return err == nil
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
