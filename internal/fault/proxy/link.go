package proxy

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	dialTimeout = 2 * time.Second
	chunkBytes  = 32 << 10
	// chunksHeld bounds what is on its way in one direction while latency or a
	// pulled cable holds it back: 1 MiB. Beyond that the sender feels it.
	chunksHeld = 32
)

// link is one client connection and its counterpart to the server.
type link struct {
	proxy  *Proxy
	client net.Conn
	done   chan struct{}
	muted  atomic.Bool // nothing reaches the client any more

	mu     sync.Mutex
	server net.Conn // nil until dialled
	closed bool
}

type chunk struct {
	data []byte
	due  time.Time
}

func (l *link) run() {
	defer l.proxy.remove(l)
	defer l.reset()
	if !l.pass(time.Now()) {
		return
	}
	server, err := net.DialTimeout("tcp", l.proxy.target, dialTimeout)
	if err != nil || !l.setServer(server) {
		return
	}
	var both sync.WaitGroup
	both.Add(2)
	go func() {
		defer both.Done()
		l.forward(l.client, server, true)
	}()
	go func() {
		defer both.Done()
		l.forward(server, l.client, false)
	}()
	both.Wait()
}

// forward copies from src to dst until one of them ends, then closes both.
func (l *link) forward(src, dst net.Conn, fromClient bool) {
	chunks := make(chan chunk, chunksHeld)
	var reader sync.WaitGroup
	reader.Add(1)
	go func() {
		defer reader.Done()
		defer close(chunks)
		l.read(src, chunks)
	}()
	defer reader.Wait()
	var packets framer
	for c := range chunks {
		if !l.pass(c.due) {
			return
		}
		if !fromClient {
			if l.muted.Load() {
				return
			}
			if _, err := dst.Write(c.data); err != nil {
				l.close()
				return
			}
			continue
		}
		pass, cut := l.proxy.allow(len(c.data), packets.publishEnd(c.data))
		if cut {
			l.muted.Store(true)
		}
		_, err := dst.Write(c.data[:pass])
		if cut {
			l.cut()
			return
		}
		if err != nil {
			l.close()
			return
		}
	}
	// A pulled cable hides the end of the other side too.
	l.pass(time.Now())
	l.close()
}

func (l *link) read(src net.Conn, chunks chan<- chunk) {
	for {
		data := make([]byte, chunkBytes)
		n, err := src.Read(data)
		if n > 0 {
			select {
			case chunks <- chunk{data[:n], time.Now().Add(l.proxy.delay())}:
			case <-l.done:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits until due, and until the cable is in. It returns false when the
// link has ended first.
func (l *link) pass(due time.Time) bool {
	if wait := time.Until(due); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-l.done:
			return false
		}
	}
	select {
	case <-l.proxy.gate():
	case <-l.done:
		return false
	}
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

func (l *link) setServer(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.Close()
		return false
	}
	l.server = c
	return true
}

// close ends both sides the ordinary way, reset with RST. cut resets the client
// and lets the server read what was sent to it. The first one decides.
func (l *link) close() { l.end(false, false) }
func (l *link) reset() { l.end(true, true) }
func (l *link) cut()   { l.end(true, false) }

func (l *link) end(resetClient, resetServer bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	close(l.done)
	hangUp(l.client, resetClient)
	if l.server != nil {
		hangUp(l.server, resetServer)
	}
}

func hangUp(c net.Conn, reset bool) {
	if tcp, ok := c.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // fails only on a socket that is gone already
	}
	c.Close()
}
