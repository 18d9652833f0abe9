// Package proxy is a network cable with a switch: a TCP proxy in front of a
// server that can be frozen, healed, cut and slowed down.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Proxy forwards TCP connections to one address. Its methods are safe for
// concurrent use and take effect on open connections at once.
type Proxy struct {
	target   string
	listener net.Listener
	done     chan struct{} // closed by Close
	unbind   func() bool
	wg       sync.WaitGroup

	mu       sync.Mutex
	links    map[*link]struct{}
	passing  chan struct{} // closed while bytes may pass
	latency  time.Duration
	budget   int64 // client bytes until the cut, noBudget if none is armed
	publish  bool  // cut behind the next PUBLISH
	accepted int
	closed   bool
}

const noBudget = -1

// Listen starts a proxy on a free port of the loopback interface. It ends, with
// all its connections and goroutines, when ctx ends or Close is called. The
// target need not be up: while it refuses, clients are reset.
func Listen(ctx context.Context, target string) (*Proxy, error) {
	return ListenAt(ctx, "127.0.0.1:0", target)
}

// ListenAt is Listen on an address of the caller's choice.
func ListenAt(ctx context.Context, addr, target string) (*Proxy, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for the proxy: %w", err)
	}
	p := &Proxy{
		target: target, listener: listener, done: make(chan struct{}),
		links: map[*link]struct{}{}, passing: make(chan struct{}), budget: noBudget,
	}
	close(p.passing)
	p.unbind = context.AfterFunc(ctx, p.Close)
	p.wg.Add(1)
	go p.accept()
	return p, nil
}

// Addr is where clients connect, host and port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Freeze pulls the cable: connections stay open on both sides, new ones are
// accepted, and no byte, not even a close, passes until Heal. What was sent
// meanwhile then arrives, as after a retransmission. Freezing twice is freezing
// once.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.passing:
		p.passing = make(chan struct{})
	default:
	}
}

// Heal plugs the cable in again. Healing a healthy proxy does nothing.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.passing:
	default:
		close(p.passing)
	}
}

// Frozen reports whether the cable is pulled.
func (p *Proxy) Frozen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.passing:
		return false
	default:
		return true
	}
}

// Cut resets every open connection on both sides. Bytes under way are lost. New
// connections are accepted as before.
func (p *Proxy) Cut() {
	for _, l := range p.open() {
		l.reset()
	}
}

// CutAfter lets the next n bytes from clients pass, over all connections, and
// then cuts the connection that sent the last one. Nothing that the server
// answers to these last bytes reaches the client. It arms one cut; arming again
// replaces it.
func (p *Proxy) CutAfter(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget = max(n, 0)
}

// CutAfterPublish cuts a connection right behind the next whole MQTT PUBLISH
// packet that a client sends: the server gets it, the client never sees the
// acknowledgement. For MQTT on plain TCP. It arms one cut.
func (p *Proxy) CutAfterPublish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.publish = true
}

// SetLatency delays every byte, in each direction, by d from now on. 0 ends it.
func (p *Proxy) SetLatency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// Accepted is how many connections clients have opened so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Close resets all connections, stops listening and waits for the proxy's
// goroutines. Closing twice is fine.
func (p *Proxy) Close() {
	p.unbind()
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if first {
		close(p.done)
		p.listener.Close()
		p.Cut()
	}
	p.wg.Wait()
}

func (p *Proxy) accept() {
	defer p.wg.Done()
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, most likely
			select {
			case <-p.done:
				return
			case <-time.After(10 * time.Millisecond):
				continue
			}
		}
		l := &link{proxy: p, client: client, done: make(chan struct{})}
		if !p.add(l) {
			hangUp(client, true)
			return
		}
		go l.run()
	}
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.accepted++
	p.links[l] = struct{}{}
	p.wg.Add(1)
	return true
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
	p.wg.Done()
}

func (p *Proxy) open() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	return links
}

func (p *Proxy) delay() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latency
}

// gate returns what is closed once bytes may pass.
func (p *Proxy) gate() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passing
}

// allow tells how many of the n client bytes may pass and whether the cut comes
// behind them. publishEnd is where the first PUBLISH among them ends, 0 if none
// does.
func (p *Proxy) allow(n, publishEnd int) (pass int, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pass = n
	if p.publish && publishEnd > 0 {
		p.publish = false
		return publishEnd, true
	}
	if p.budget == noBudget {
		return n, false
	}
	if int64(n) < p.budget {
		p.budget -= int64(n)
		return n, false
	}
	pass = int(p.budget)
	p.budget = noBudget
	return pass, true
}
