package device

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// ServeTunnels gives every connection that l accepts a tunnel of its own to the
// server with this base URL, until l is closed: so that clients that know nothing
// of tunnels speak through one. It returns when all that it has opened is closed.
func ServeTunnels(l net.Listener, base string) {
	gate := tunnelGate{base: base, open: map[io.Closer]bool{}}
	for {
		socket, err := l.Accept()
		if err != nil {
			gate.close()
			return
		}
		gate.serving.Go(func() { gate.serve(socket) })
	}
}

// ThroughTunnels returns the endpoint as clients find it for whom MQTT is only
// there over HTTP: each of their connections has a tunnel of its own to the server
// with this base URL, or to a proxy in front of it. stop ends all of them, and
// waits.
func (e Endpoint) ThroughTunnels(base string) (through Endpoint, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return e, nil, fmt.Errorf("listen for tunnels: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ServeTunnels(l, base)
	}()
	through = e
	through.MQTT = l.Addr().String()
	return through, func() {
		l.Close()
		<-ended
	}, nil
}

// tunnelGate leads TCP connections into tunnels.
type tunnelGate struct {
	base    string
	serving sync.WaitGroup

	mu     sync.Mutex
	open   map[io.Closer]bool
	closed bool
}

// serve copies both ways until one end closes.
func (g *tunnelGate) serve(socket net.Conn) {
	defer socket.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*connectTimeout)
	defer cancel()
	t, err := DialTunnel(ctx, g.base, nil)
	if err != nil {
		return // the client sees a connection that was cut, as from a server that is down
	}
	defer func() { _ = t.Close() }()
	if !g.enter(socket) {
		return
	}
	defer g.leave(socket)
	var down sync.WaitGroup
	down.Go(func() {
		_, _ = io.Copy(socket, t) // how a connection ends says its other end
		socket.Close()
	})
	_, _ = io.Copy(t, socket)
	_ = t.Close()
	down.Wait()
}

func (g *tunnelGate) enter(c io.Closer) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.open[c] = true
	return true
}

func (g *tunnelGate) leave(c io.Closer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, c)
}

func (g *tunnelGate) close() {
	g.mu.Lock()
	g.closed = true
	for c := range g.open {
		c.Close()
	}
	g.mu.Unlock()
	g.serving.Wait()
}
