package ferret_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/parley-chat/parley/bridge/mongo/wire"
	"github.com/parley-chat/parley/bridge/storetest"
)

// voyages is how many a storm of random faults sees.
const voyages = 6

// TestRandomFaults breaks one command in five, in any way, through voyages of one node
// and of two that write to the same streams.
func TestRandomFaults(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("PARLEY_FAULT_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 0, 64); err != nil {
			t.Fatal(err)
		}
	}
	for nodes := 1; nodes <= 2; nodes++ {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, uint64(nodes)))
			s := newStorm(t, nodes)
			broken := 0
			for n := range voyages * storetest.Scale() {
				s.proxy.Break(func(c wire.Command) wire.Fault {
					if !byStore(c) || random.IntN(5) > 0 {
						return wire.Fault{}
					}
					broken++
					return anyFault(random, c)
				})
				sea := s.sail(t.Context(), fmt.Sprintf("voyage%d", n))
				s.proxy.Break(nil)
				if sea.check(t); t.Failed() {
					t.Fatalf("PARLEY_FAULT_SEED=%#x, voyage %d", seed, n)
				}
				s.clear(t)
			}
			t.Logf("%d commands broken", broken)
		})
	}
}

// anyFault is one of all faults, and of all documents of the command.
func anyFault(random *rand.Rand, c wire.Command) wire.Fault {
	all := everyFault()
	if c.Documents > 0 {
		all = append(all, wire.Refuse(random.IntN(c.Documents), wire.IllegalOperation, wire.Before))
	}
	all = append(all, wire.Delay(time.Duration(random.Int64N(int64(attempt/10))), wire.Before))
	return all[random.IntN(len(all))]
}
