package broker

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

// gate counts the connections being served, and makes room among those that
// have not logged in when there are too many of them: whoever says nothing must
// not keep others out.
type gate struct {
	mu      sync.Mutex
	pending []*conn // not logged in, oldest first
	most    int
	closed  bool
	serving sync.WaitGroup
}

func newGate(most int) *gate { return &gate{most: most} }

// enter admits a new connection. When there is no room, another one is dropped
// for it, and has to be closed: the oldest of the address that has the most
// connections waiting. open is false once the gate is closed.
func (g *gate) enter(c *conn) (dropped *conn, open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, false
	}
	if len(g.pending) >= g.most {
		dropped = g.crowding()
		g.remove(dropped)
	}
	g.pending = append(g.pending, c)
	g.serving.Add(1)
	return dropped, true
}

// crowding returns the connection that is dropped next. The lock is held.
func (g *gate) crowding() *conn {
	count := make(map[netip.Prefix]int, len(g.pending))
	crowd := 0
	for _, c := range g.pending {
		count[c.network]++
		crowd = max(crowd, count[c.network])
	}
	for _, c := range g.pending {
		if count[c.network] == crowd {
			return c
		}
	}
	return nil
}

// remove takes c from those that have not logged in, if it is there. The lock is
// held.
func (g *gate) remove(c *conn) {
	if i := slices.Index(g.pending, c); i >= 0 {
		g.pending = slices.Delete(g.pending, i, i+1)
	}
}

// loggedIn makes room for the next one.
func (g *gate) loggedIn(c *conn) {
	g.mu.Lock()
	g.remove(c)
	g.mu.Unlock()
}

// leave forgets a connection that has ended.
func (g *gate) leave(c *conn) {
	g.loggedIn(c)
	g.serving.Done()
}

// close refuses everything new and closes what has not logged in.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	strangers := slices.Clone(g.pending)
	g.mu.Unlock()
	for _, c := range strangers {
		c.closeCode.CompareAndSwap(0, closeGoingAway)
		_ = c.Close()
	}
}

func (g *gate) wait() { g.serving.Wait() }

// networkOf returns what counts as one address: an IPv4 address, or the network
// of 64 bits that one IPv6 customer has. What has no such address is one too.
func networkOf(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := at.Addr().Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits) // the zero one, like the others that have none
	return p
}
