package broker

import "sync"

// gate counts the connections being served, and holds back those that have not
// logged in when there are too many of them.
type gate struct {
	mu      sync.Mutex
	pending int // not logged in
	most    int
	conns   map[*conn]struct{}
	closed  bool
	serving sync.WaitGroup
}

func newGate(most int) *gate { return &gate{most: most, conns: map[*conn]struct{}{}} }

// enter admits a new connection, or says that there is no room.
func (g *gate) enter(c *conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.pending >= g.most {
		return false
	}
	g.pending++
	g.conns[c] = struct{}{}
	g.serving.Add(1)
	return true
}

// loggedIn makes room for the next one.
func (g *gate) loggedIn() {
	g.mu.Lock()
	g.pending--
	g.mu.Unlock()
}

func (g *gate) leave(c *conn, loggedIn bool) {
	g.mu.Lock()
	if !loggedIn {
		g.pending--
	}
	delete(g.conns, c)
	g.mu.Unlock()
	g.serving.Done()
}

// close refuses everything new and closes what has not logged in.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	var strangers []*conn
	for c := range g.conns {
		if !c.loggedIn.Load() {
			strangers = append(strangers, c)
		}
	}
	g.mu.Unlock()
	for _, c := range strangers {
		c.closeCode.CompareAndSwap(0, closeGoingAway)
		_ = c.Close()
	}
}

func (g *gate) wait() { g.serving.Wait() }
