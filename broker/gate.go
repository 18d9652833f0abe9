package broker

import (
	"container/heap"
	"container/list"
	"net/netip"
	"sync"
)

// gate lets connections in. One that is accepted is silent until its CONNECT is
// complete. Then it waits for its turn, without a goroutine and with nothing but
// those bytes, in the order in which the connections of its address came; addresses
// have turns one after the other. Only so many are at work, with their login
// decided: those who are connected must not notice how many come.
//
// Silent and waiting ones are bounded together. When there is no room, the address
// that has the most of them makes some: whoever says nothing, and whoever comes a
// thousand times, must not keep others out.
type gate struct {
	begin func(*conn) // begins the turn of a connection that has waited; must not block

	mu      sync.Mutex
	closed  bool
	most    int // room for silent and waiting ones
	taken   int // of it
	desks   int // turns at once, at most
	open    int // of the desks, as many as the store keeps up with
	working int
	turn    map[*conn]struct{} // of those whose turn it is, also while they pause
	crowds  map[netip.Prefix]*crowd
	largest crowdHeap
	turns   *list.List // of crowds that have somebody waiting
	arrived uint64     // crowds so far

	serving sync.WaitGroup
}

// place is where a connection stands at the gate, guarded by the gate's lock.
type place struct {
	crowd *crowd // nil: not silent and not waiting
	among *list.List
	at    *list.Element
	room  int  // that it takes
	works bool // it is its turn
}

func newGate(most, desks int, begin func(*conn)) *gate {
	return &gate{begin: begin, most: most, desks: desks, open: desks, turn: map[*conn]struct{}{}, crowds: map[netip.Prefix]*crowd{}, turns: list.New()}
}

// dropped is a connection that has had to make room.
type dropped struct {
	*conn
	waits bool // it has no goroutine: who has dropped it answers it and ends it
}

// enter admits a new connection, as a silent one, for which others may have been
// dropped. open is false once the gate is closed.
func (g *gate) enter(c *conn) (all []dropped, open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, false
	}
	g.serving.Add(1)
	g.put(c, false)
	return g.makeRoom(c), true
}

// queue lets a connection, whose CONNECT is complete, wait for its turn. From here
// on it is the gate's, or among those that are dropped.
func (g *gate) queue(c *conn) []dropped {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.place.crowd == nil { // it was dropped, or the gate is closed
		return []dropped{{c, true}}
	}
	g.remove(c)
	g.put(c, true)
	all := g.makeRoom(c)
	g.advance()
	return all
}

// put finds a place for c. The lock is held.
func (g *gate) put(c *conn, waiting bool) {
	w := g.crowds[c.network]
	if w == nil {
		g.arrived++
		w = &crowd{network: c.network, arrival: g.arrived, silent: list.New(), waiting: list.New()}
		g.crowds[c.network] = w
		heap.Push(&g.largest, w)
	}
	among := w.silent
	if waiting {
		among = w.waiting
	}
	if waiting && w.turn == nil {
		w.turn = g.turns.PushBack(w)
	}
	c.place = place{crowd: w, among: among, at: among.PushBack(c), room: 1 + len(c.hello)/helloUnit}
	g.resize(w, c.place.room)
}

// helloUnit is how much of a CONNECT takes the room of one more connection.
const helloUnit = 1 << 10

// remove takes c from its place, if it has one. The lock is held.
func (g *gate) remove(c *conn) {
	p := c.place
	c.place = place{}
	if p.crowd == nil {
		return
	}
	p.among.Remove(p.at)
	if w := p.crowd; w.turn != nil && w.waiting.Len() == 0 {
		g.turns.Remove(w.turn)
		w.turn = nil
	}
	g.resize(p.crowd, -p.room)
}

func (g *gate) resize(w *crowd, by int) {
	g.taken += by
	if w.size += by; w.size == 0 {
		heap.Remove(&g.largest, w.index)
		delete(g.crowds, w.network)
		return
	}
	heap.Fix(&g.largest, w.index)
}

// makeRoom drops connections as long as there are too many: of the largest crowd the
// oldest silent one, else the newest that waits; c, which has just come, as a silent
// one only if there is no other. The lock is held.
func (g *gate) makeRoom(c *conn) (all []dropped) {
	for g.taken > g.most {
		w := g.largest[0]
		at := w.silent.Front()
		if at == nil || at.Value == c && w.waiting.Len() > 0 {
			at = w.waiting.Back()
		}
		d := at.Value.(*conn)
		all = append(all, dropped{d, d.place.among == w.waiting})
		g.remove(d)
	}
	return all
}

// advance begins as many turns as there are desks. The lock is held.
func (g *gate) advance() {
	for g.working < g.open && g.turns.Len() > 0 && !g.closed {
		w := g.turns.Front().Value.(*crowd)
		c := w.waiting.Front().Value.(*conn)
		g.turns.MoveToBack(w.turn)
		g.remove(c)
		g.turn[c] = struct{}{}
		c.place.works = true
		g.working++
		g.begin(c)
	}
}

// leastDesks stay open however slow the store is.
const leastDesks = 4

// overrun closes half of the desks: the store has not opened a session in time. All who
// log in at once ask it for several things one after the other; where it is so slow that
// nobody gets to the last one in time, nobody would ever get in.
func (g *gate) overrun() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = max(g.open/2, min(leastDesks, g.desks))
}

// kept opens a desk more, if one is closed: the store has opened a session in time.
func (g *gate) kept() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open < g.desks {
		g.open++
		g.advance()
	}
}

// pause lets others have their turn while c, whose turn it is, waits for something,
// until resume.
func (g *gate) pause(c *conn) { g.work(c, false) }

// resume goes on with the turn of c, at once.
func (g *gate) resume(c *conn) { g.work(c, true) }

// loggedIn ends the turn of c.
func (g *gate) loggedIn(c *conn) {
	g.work(c, false)
	g.mu.Lock()
	delete(g.turn, c)
	g.mu.Unlock()
}

func (g *gate) work(c *conn, works bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.place.works == works {
		return
	}
	c.place.works = works
	if works {
		g.working++
		return
	}
	g.working--
	g.advance()
}

// leave forgets a connection that has ended.
func (g *gate) leave(c *conn) {
	g.loggedIn(c)
	g.mu.Lock()
	g.remove(c)
	g.mu.Unlock()
	g.serving.Done()
}

// close refuses everything new. It returns everybody who has not logged in: they
// have to be ended.
func (g *gate) close() (all []dropped) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, w := range g.crowds {
		for at := w.silent.Front(); at != nil; at = at.Next() {
			all = append(all, dropped{at.Value.(*conn), false})
		}
		for at := w.waiting.Front(); at != nil; at = at.Next() {
			all = append(all, dropped{at.Value.(*conn), true})
		}
	}
	for _, d := range all {
		g.remove(d.conn)
	}
	for c := range g.turn {
		all = append(all, dropped{c, false})
	}
	return all
}

func (g *gate) wait() { g.serving.Wait() }

// queued counts the silent and waiting ones, and those whose turn it is.
func (g *gate) queued() (silent, waiting, working int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.crowds {
		silent += w.silent.Len()
		waiting += w.waiting.Len()
	}
	return silent, waiting, g.working
}
