package broker

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// stranger comes from the n-th address.
func stranger(n byte) *conn {
	return &conn{network: networkOfIP(netip.AddrFrom4([4]byte{10, 0, 0, n}))}
}

// The connections of an address have their turns in the order in which they came,
// addresses by turns.
func TestTurns(t *testing.T) {
	var begun []*conn
	g := newGate(100, 1, func(c *conn) { begun = append(begun, c) })
	crowd := []byte{1, 1, 1, 1, 2, 2, 3}
	want := []int{0, 1, 4, 6, 2, 5, 3} // the first one has its turn before the others come
	all := make([]*conn, len(crowd))
	for i, n := range crowd {
		all[i] = stranger(n)
		g.enter(all[i])
	}
	for _, c := range all {
		g.queue(c)
	}
	for i := range all {
		if len(begun) != i+1 {
			t.Fatalf("%d turns at one desk after %d have ended", len(begun), i)
		}
		g.loggedIn(begun[i])
	}
	var got []int
	for _, c := range begun {
		for i := range all {
			if all[i] == c {
				got = append(got, i)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// When the store does not keep up, fewer have their turn at once, but never none; when it
// does again, as many as before.
func TestTurnsOfASlowStore(t *testing.T) {
	const desks, crowd = 16, 100
	var working []*conn
	g := newGate(crowd, desks, func(c *conn) { working = append(working, c) })
	for range crowd {
		c := stranger(1)
		g.enter(c)
		g.queue(c)
	}
	end := func(what func()) {
		what()
		c := working[0]
		working = working[1:]
		g.loggedIn(c)
	}
	for _, step := range []struct {
		name  string
		times int
		what  func()
		want  int
	}{
		{"all in time", 3, g.kept, desks},
		{"one is late", 1, g.overrun, desks - 1}, // as many as there are over the half end first
		{"and who was at work", 7, func() {}, desks / 2},
		{"all are late", 20, g.overrun, leastDesks},
		{"in time again", 5, g.kept, leastDesks + 5},
		{"for longer", 20, g.kept, desks},
	} {
		for range step.times {
			end(step.what)
		}
		if len(working) != step.want {
			t.Fatalf("%s: %d are at work, want %d", step.name, len(working), step.want)
		}
	}
}

// Who waits in its turn for something lets others work meanwhile.
func TestPausedTurns(t *testing.T) {
	begun := 0
	g := newGate(100, 1, func(*conn) { begun++ })
	one, two, three := stranger(1), stranger(1), stranger(1)
	for _, c := range []*conn{one, two, three} {
		g.enter(c)
		g.queue(c)
	}
	g.pause(one)
	if begun != 2 {
		t.Fatalf("%d turns", begun)
	}
	g.resume(one)
	g.pause(two)
	if begun != 2 {
		t.Errorf("%d turns while the desk is taken", begun)
	}
	g.loggedIn(one)
	g.leave(two)
	if _, _, working := g.queued(); begun != 3 || working != 1 {
		t.Errorf("%d turns, %d at work", begun, working)
	}
}

// gateModel does anything to a gate, in any order, as connections do.
type gateModel struct {
	g       *gate
	silent  []*conn
	waiting map[*conn]bool
	working []*conn
	paused  []*conn
	last    map[netip.Prefix]int // the newest arrival that had its turn
	arrival map[*conn]int
	dropped int
}

// with lets do have one of those in from, if there are any.
func (m *gateModel) with(from *[]*conn, do func(*rapid.T, *conn)) func(*rapid.T) {
	return func(t *rapid.T) {
		if len(*from) == 0 {
			return
		}
		i := rapid.IntRange(0, len(*from)-1).Draw(t, "who")
		c := (*from)[i]
		*from = append((*from)[:i:i], (*from)[i+1:]...)
		do(t, c)
	}
}

func (m *gateModel) drop(t *rapid.T, all []dropped) {
	for _, d := range all {
		if d.waits != m.waiting[d.conn] {
			t.Fatal("it is not told whether who is dropped waits")
		}
		delete(m.waiting, d.conn)
		for i, c := range m.silent {
			if c == d.conn {
				m.silent = append(m.silent[:i:i], m.silent[i+1:]...)
				break
			}
		}
		m.g.leave(d.conn)
		m.dropped++
	}
}

func (m *gateModel) begin(t *rapid.T, c *conn) {
	if !m.waiting[c] {
		t.Fatal("the turn of somebody who does not wait")
	}
	delete(m.waiting, c)
	m.working = append(m.working, c)
	if m.arrival[c] < m.last[c.network] {
		t.Fatal("a turn out of order")
	}
	m.last[c.network] = m.arrival[c]
}

func TestGateKeepsCount(t *testing.T) {
	dropped := 0
	rapid.Check(t, func(t *rapid.T) {
		const most, desks = 6, 1
		m := &gateModel{waiting: map[*conn]bool{}, last: map[netip.Prefix]int{}, arrival: map[*conn]int{}}
		m.g = newGate(most, desks, func(c *conn) { m.begin(t, c) })
		arrivals := 0
		defer func() { dropped += m.dropped }()
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				c := stranger(rapid.ByteRange(1, 4).Draw(t, "address"))
				m.silent = append(m.silent, c)
				others, _ := m.g.enter(c)
				m.drop(t, others)
			},
			"queue": m.with(&m.silent, func(t *rapid.T, c *conn) {
				c.hello = make([]byte, rapid.SampledFrom([]int{0, 500, 3000}).Draw(t, "bytes"))
				arrivals++
				m.arrival[c], m.waiting[c] = arrivals, true
				m.drop(t, m.g.queue(c))
			}),
			"log in": m.with(&m.working, func(_ *rapid.T, c *conn) { m.g.loggedIn(c) }),
			"pause": m.with(&m.working, func(_ *rapid.T, c *conn) {
				m.paused = append(m.paused, c)
				m.g.pause(c)
			}),
			"resume": m.with(&m.paused, func(_ *rapid.T, c *conn) {
				m.g.resume(c)
				m.working = append(m.working, c)
			}),
			"leave silent":      m.with(&m.silent, func(_ *rapid.T, c *conn) { m.g.leave(c) }),
			"leave in its turn": m.with(&m.working, func(_ *rapid.T, c *conn) { m.g.leave(c) }),
			"": func(t *rapid.T) {
				silent, waiting, working := m.g.queued()
				if silent != len(m.silent) || waiting != len(m.waiting) || working != len(m.working) {
					t.Fatalf("%d silent, %d waiting, %d working, want %d, %d and %d", silent, waiting, working, len(m.silent), len(m.waiting), len(m.working))
				}
				if m.g.taken > most || waiting > 0 && working < desks {
					t.Fatalf("room of %d taken, %d wait while %d work", m.g.taken, waiting, working)
				}
			},
		})
	})
	if dropped == 0 {
		t.Error("there was always room")
	}
}
