package broker_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/parley-chat/parley"
)

// setting is the input of a set; the zero one reads the register of its key.
type setting struct {
	id, key, value string
	basedOn        int64
}

// held is a register as somebody was told: by a reader, or by a refusal.
type held struct {
	value   string
	version int64
}

// answered is the output of an operation on a register.
type answered struct {
	stored  int64 // the version that the setting has become
	refused bool
	now     held // where nothing was stored
}

// register is the state of a model: what is there, and which versions the ids have
// become that were stored.
type register struct {
	now held
	by  map[string]int64
}

// registers is a compare-and-set register for each key. What has an id that was
// stored is answered the same again and changes nothing.
func registers() porcupine.Model {
	return porcupine.Model{
		Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
			keys := map[string][]porcupine.Operation{}
			for _, op := range ops {
				key := op.Input.(setting).key
				keys[key] = append(keys[key], op)
			}
			return slices.Collect(maps.Values(keys))
		},
		Init: func() any { return register{now: held{"null", 0}} },
		Step: func(state, input, output any) (bool, any) {
			return state.(register).step(input.(setting), output.(answered))
		},
		Equal: func(a, b any) bool {
			return a.(register).now == b.(register).now && maps.Equal(a.(register).by, b.(register).by)
		},
	}
}

func (r register) step(in setting, out answered) (bool, any) {
	if in.id == "" {
		return out.now == r.now, r
	}
	if version, ok := r.by[in.id]; ok {
		return out.stored == version, r
	}
	if in.basedOn != r.now.version {
		return out.refused && out.now == r.now, r
	}
	by := maps.Clone(r.by)
	if by == nil {
		by = map[string]int64{}
	}
	by[in.id] = out.stored
	return out.stored > r.now.version, register{held{in.value, out.stored}, by}
}

// setter is a device that sets and reads registers.
type setter struct {
	*client
	w     *world
	who   parley.Credentials
	rng   *rand.Rand
	knows map[string]int64 // versions by key
	last  setting
}

func (s *setter) connect() {
	s.client = s.w.connect(s.t, s.who, 5)
	s.follow(s.errorsTopic())
}

// put sets a register, and returns when it is answered. Now and then the
// connection ends before, and it is sent again.
func (s *setter) put(in setting) any {
	packet := s.set(in.id, in.key, in.value, in.basedOn)
	if s.rng.IntN(8) == 0 {
		s.hangUp()
		s.connect()
		packet = s.set(in.id, in.key, in.value, in.basedOn)
	}
	ack := s.ackOf(packet)
	if ack.ReasonCode == 0 {
		return s.learn(in.key, answered{stored: seqOf(s.t, ack)})
	}
	for { // what was refused before a cut is told twice, perhaps with other news
		if r := s.expectRefusal(); r.ID == in.id && r.Code == parley.CodeStale {
			return s.learn(in.key, answered{refused: true, now: held{string(r.Current.Value), r.Current.Version}})
		}
	}
}

// ask reads a register as REST does.
func (s *setter) ask(key string) any {
	all, _, err := s.w.bridge.Registers(s.t.Context(), s.who.Identity)
	must(s.t, err)
	now := held{"null", 0}
	for _, r := range all {
		if r.Key == key {
			now = held{string(r.Value), r.Version}
		}
	}
	return s.learn(key, answered{now: now})
}

func (s *setter) learn(key string, a answered) answered {
	s.knows[key] = max(s.knows[key], a.stored, a.now.version)
	return a
}

// step sets a register on what it knows, which may be old, sends its last setting
// again, or reads.
func (s *setter) step(h *history, n, step int) {
	key := []string{"tabs", "draft:cnv_1"}[s.rng.IntN(2)]
	in := setting{
		id: fmt.Sprintf("set_%d_%d", n, step+10_000), key: key,
		value: []string{`null`, fmt.Sprintf(`{"text":"%d of %d"}`, step, n)}[min(s.rng.IntN(4), 1)], basedOn: s.knows[key],
	}
	switch what := s.rng.IntN(6); {
	case what == 0 && s.last.id != "":
		in = s.last
	case what < 3:
		h.record(n, setting{key: key}, func() any { return s.ask(key) })
		return
	}
	s.last = in
	h.record(n, in, func() any { return s.put(in) })
}

// Registers that five devices of one user set over real connections, again after
// cuts and over a restart, are compare-and-set registers, and a refusal tells what
// was there when it was decided.
func TestRegistersAreLinearizable(t *testing.T) {
	setHistory(t, 5, 40).mustBeLinear(t, registers())
}

func setHistory(t *testing.T, devices, steps int) *history {
	w := newWorld(t)
	all := make([]*setter, devices)
	for n := range all {
		all[n] = &setter{w: w, who: w.agent("lilei"), rng: rand.New(rand.NewPCG(uint64(n), 2)), knows: map[string]int64{}}
	}
	h := &history{began: time.Now()}
	for phase := range 2 {
		if phase > 0 {
			w.restart()
		}
		var running sync.WaitGroup
		for n, s := range all {
			s.client = w.connect(t, s.who, 5)
			s.follow(s.errorsTopic())
			running.Go(func() {
				for step := range steps {
					s.step(h, n, phase*steps+step)
				}
			})
		}
		running.Wait()
	}
	return h
}

// What breaks the promise of registers is found.
func TestBrokenSettingsAreFound(t *testing.T) {
	h := setHistory(t, 4, 25)
	h.mustBeLinear(t, registers())
	i := slices.IndexFunc(h.ops, func(op porcupine.Operation) bool { return op.Output.(answered).stored > 0 })
	for name, change := range map[string]func(ops []porcupine.Operation) []porcupine.Operation{
		"an update that was lost": func(ops []porcupine.Operation) []porcupine.Operation { // two are based on the same version
			twin := ops[i]
			in := twin.Input.(setting)
			in.id = "set_twin"
			twin.Input, twin.Output = in, answered{stored: twin.Output.(answered).stored + 1_000}
			return append(ops, twin)
		},
		"a repeat that counts": func(ops []porcupine.Operation) []porcupine.Operation {
			again := ops[i]
			again.Output = answered{stored: again.Output.(answered).stored + 1_000}
			return append(ops, again)
		},
		"a refusal without a reason": func(ops []porcupine.Operation) []porcupine.Operation {
			in := ops[i].Input.(setting)
			ops[i].Output = answered{refused: true, now: held{in.value, in.basedOn}}
			return ops
		},
	} {
		if porcupine.CheckOperations(registers(), change(slices.Clone(h.ops))) {
			t.Errorf("%s: not found", name)
		}
	}
	last := registers() // a model in which the last one wins
	last.Step = func(state, input, output any) (bool, any) {
		r, in, out := state.(register), input.(setting), output.(answered)
		if in.id == "" {
			return out.now == r.now, r
		}
		return !out.refused, register{now: held{in.value, out.stored}}
	}
	if porcupine.CheckOperations(last, h.ops) {
		t.Error("this history does not tell compare-and-set from overwriting")
	}
}
