package broker

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"github.com/parley-chat/parley"
)

// tunnels are those that are open. They are bounded, since one costs who opens it
// not even a socket.
type tunnels struct {
	most, mostOfOne int // in all, and of one address

	mu       sync.Mutex
	open     map[string]*tunnel
	networks map[netip.Prefix]int
	closed   bool
}

func newTunnels(most, mostOfOne int) *tunnels {
	return &tunnels{most: most, mostOfOne: mostOfOne, open: map[string]*tunnel{}, networks: map[netip.Prefix]int{}}
}

// add admits a tunnel, or reports that there are too many, or none any more.
func (ts *tunnels) add(t *tunnel) (full, closed bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed {
		return false, true
	}
	if len(ts.open) >= ts.most || ts.networks[t.network] >= ts.mostOfOne {
		return true, false
	}
	ts.open[t.id] = t
	ts.networks[t.network]++
	return false, false
}

func (ts *tunnels) remove(t *tunnel) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.open[t.id] != t {
		return
	}
	delete(ts.open, t.id)
	ts.networks[t.network]--
	if ts.networks[t.network] == 0 {
		delete(ts.networks, t.network)
	}
}

// find returns a tunnel, unless the page that asks is of another origin than the
// one that opened it. Browsers name none when they read from a page's own.
func (ts *tunnels) find(id, origin string) (*tunnel, bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, ok := ts.open[id]
	return t, ok && (origin == "" || t.origin == origin)
}

func (ts *tunnels) count() int64 {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return int64(len(ts.open))
}

// close refuses everything new, and returns what is open.
func (ts *tunnels) close() []*tunnel {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.closed = true
	all := make([]*tunnel, 0, len(ts.open))
	for _, t := range ts.open {
		all = append(all, t)
	}
	return all
}

// newTunnel makes a tunnel, with the connection at its near end.
func (b *Broker) newTunnel(remote, origin string) (*tunnel, *conn) {
	near, far := net.Pipe()
	c := b.wrap(tunnelEnd{Conn: near, remote: remoteAddr(remote)})
	c.origin = origin
	t := &tunnel{id: parley.NewID("tun_"), origin: origin, network: c.network, far: far, turn: make(chan struct{}, 1)}
	void, avoid := context.WithCancel(context.Background())
	t.void = void
	t.hangUp = func() {
		if s := c.session.Load(); s != nil {
			s.disconnect(shuttingDown)
			return
		}
		c.closeCode.CompareAndSwap(0, closeGoingAway)
		_ = c.Close()
	}
	c.closeWith = func(code int) {
		t.code.Store(int32(code))
		b.tunnels.remove(t)
		if code == closeUnauthorized {
			avoid()
		}
	}
	return t, c
}

// CloseTunnels ends every tunnel, each as Close does, and opens no more. An
// http.Server cannot shut down while there are any.
func (b *Broker) CloseTunnels() {
	var all sync.WaitGroup
	for _, t := range b.tunnels.close() {
		all.Go(t.hangUp) // one may have to wait for a client that does not read
	}
	all.Wait()
}

// tunnelEnd is the near end of a tunnel.
type tunnelEnd struct {
	net.Conn
	remote remoteAddr
}

// RemoteAddr is where the tunnel was opened from.
func (e tunnelEnd) RemoteAddr() net.Addr { return e.remote }

// remoteAddr is an address as a request has it.
type remoteAddr string

// Network is always tcp.
func (remoteAddr) Network() string { return "tcp" }

func (a remoteAddr) String() string { return string(a) }
