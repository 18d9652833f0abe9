package broker_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// history is what concurrent clients asked for and were answered, with the times
// between which each answer was true.
type history struct {
	began time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
}

// record does something, and notes what was asked and answered.
func (h *history) record(client int, input any, do func() any) {
	call := time.Since(h.began).Nanoseconds()
	output := do()
	op := porcupine.Operation{ClientId: client, Input: input, Call: call, Output: output, Return: time.Since(h.began).Nanoseconds()}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// mustBeLinear fails unless everything can have happened at one moment each,
// between call and return, one after the other as model says.
func (h *history) mustBeLinear(t *testing.T, model porcupine.Model) {
	t.Helper()
	if result := porcupine.CheckOperationsTimeout(model, h.ops, time.Minute); result != porcupine.Ok {
		t.Fatalf("a history of %d operations is not linearizable: %s", len(h.ops), result)
	}
	t.Logf("%d operations", len(h.ops))
}

// raise is the input of a mark; the zero one reads.
type raise struct{ delivered, read int64 }

// maxRegisters is a user's mark in a conversation: what is asked for raises it,
// what is answered to a reader is what it is.
func maxRegisters() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return raise{} },
		Step: func(state, input, output any) (bool, any) {
			now, to := state.(raise), input.(raise)
			if seen, reads := output.(raise); reads {
				return seen == now, now
			}
			return true, raise{max(now.delivered, to.delivered, to.read), max(now.read, to.read)}
		},
	}
}

// marker is one connection of a device that marks and reads.
type marker struct {
	*client
	w   *world
	who parley.Credentials
	id  string
	rng *rand.Rand
}

func (m *marker) connect() {
	m.client = m.w.connect(m.t, m.who, 5)
}

// raise marks, and returns when it is acknowledged. Now and then the connection
// ends before, and the mark is sent again.
func (m *marker) raise(to raise) any {
	payload := fmt.Sprintf(`{"delivered":%d,"read":%d}`, to.delivered, to.read)
	packet := m.mark(m.id, payload)
	if m.rng.IntN(8) == 0 {
		m.hangUp()
		m.connect()
		packet = m.mark(m.id, payload)
	}
	m.expectAck(packet)
	return nil
}

// say writes a message, which marks itself.
func (m *marker) say() raise {
	ack := m.expectAck(m.post(m.id, draft()))
	seq := seqOf(m.t, ack)
	return raise{seq, seq}
}

func seqOf(t testing.TB, ack packets.Packet) int64 {
	t.Helper()
	for _, p := range ack.Properties.User {
		if p.Key == "seq" {
			seq, err := strconv.ParseInt(p.Val, 10, 64)
			must(t, err)
			return seq
		}
	}
	t.Fatal("a PUBACK without a seq")
	return 0
}

// look subscribes to the state, and returns what it is answered with.
func (m *marker) look() parley.Conversation {
	m.follow(m.stateTopic(m.id))
	pk := m.await("the state", func(pk packets.Packet) bool { return on(pk, m.stateTopic(m.id)) && pk.FixedHeader.Retain })
	var s parley.State
	must(m.t, json.Unmarshal(pk.Payload, &s))
	return parley.Conversation{Head: s.Head, Marks: s.Marks}
}

// ask reads the state as REST does.
func (m *marker) ask() parley.Conversation {
	c, err := m.w.bridge.Conversation(m.t.Context(), m.who.Identity, m.id)
	must(m.t, err)
	return c
}

// step does one random thing. What it marks is at most what it has seen.
func (m *marker) step(h *history, n int, head *int64) {
	seen := func(c parley.Conversation) any {
		*head = max(*head, c.Head)
		mark := c.Marks.Of(m.who.Identity.User)
		return raise{mark.Delivered, mark.Read}
	}
	switch m.rng.IntN(6) {
	case 0:
		h.record(n, raise{}, func() any { return seen(m.look()) })
	case 1, 2:
		h.record(n, raise{}, func() any { return seen(m.ask()) })
	case 3:
		m.sayInto(h, n)
	default:
		to := raise{m.rng.Int64N(*head + 1), m.rng.Int64N(*head + 1)}
		h.record(n, to, func() any { return m.raise(to) })
	}
}

// sayInto notes a message as the mark that it is: what it raises is known with the
// acknowledgement.
func (m *marker) sayInto(h *history, n int) {
	call := time.Since(h.began).Nanoseconds()
	to := m.say()
	op := porcupine.Operation{ClientId: n, Input: to, Call: call, Return: time.Since(h.began).Nanoseconds()}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// Marks over real connections, sent again after cuts and read in both ways by five
// devices of one user at once, also over a restart, are as if all of it had
// happened one after the other: who has a PUBACK is seen by every later reader.
func TestMarksAreLinearizable(t *testing.T) {
	h := markHistory(t, 5, 60)
	h.mustBeLinear(t, maxRegisters())
}

func markHistory(t *testing.T, devices, steps int) *history {
	w := newWorld(t)
	visitor := w.visitor()
	id := w.conversation(visitor, 30)
	all := make([]*marker, devices)
	for n := range all {
		all[n] = &marker{w: w, who: w.agent("lilei"), id: id, rng: rand.New(rand.NewPCG(uint64(n), 1))}
	}
	w.claim(all[0].who, id)
	h := &history{began: time.Now()}
	for phase := range 2 {
		if phase > 0 {
			w.restart()
		}
		var running sync.WaitGroup
		for n, m := range all {
			m.client = w.connect(t, m.who, 5)
			running.Go(func() {
				head := m.ask().Head
				for range steps {
					m.step(h, n, &head)
				}
			})
		}
		running.Wait()
	}
	return h
}

// A checker that finds nothing proves nothing: what breaks a promise is found, in
// what was recorded as in the model.
func TestBrokenHistoriesAreFound(t *testing.T) {
	marks := markHistory(t, 3, 20)
	marks.mustBeLinear(t, maxRegisters())
	last := slices.MaxFunc(marks.ops, func(a, b porcupine.Operation) int { return int(a.Return - b.Return) })
	after := func(output any) []porcupine.Operation {
		return append(slices.Clone(marks.ops), porcupine.Operation{Input: raise{}, Output: output, Call: last.Return + 1, Return: last.Return + 2})
	}
	final := raise{}
	for _, op := range marks.ops {
		if to := op.Input.(raise); op.Output == nil {
			final = raise{max(final.delivered, to.delivered, to.read), max(final.read, to.read)}
		}
	}
	if !porcupine.CheckOperations(maxRegisters(), after(final)) {
		t.Error("the truth is not believed")
	}
	for name, output := range map[string]raise{
		"went back":      {final.delivered, final.read - 1},
		"nobody said so": {final.delivered + 1, final.read},
		"forgotten":      {},
	} {
		if porcupine.CheckOperations(maxRegisters(), after(output)) {
			t.Errorf("%s: not found", name)
		}
	}
	newest := maxRegisters() // a model in which the last mark wins, whatever it says
	newest.Step = func(state, input, output any) (bool, any) {
		if seen, reads := output.(raise); reads {
			return seen == state, state
		}
		return true, input
	}
	if porcupine.CheckOperations(newest, marks.ops) {
		t.Error("this history does not tell a register that rises from one that is overwritten")
	}
}
