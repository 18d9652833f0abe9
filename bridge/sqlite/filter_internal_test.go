package sqlite

import (
	"math/rand/v2"
	"testing"
)

// What was added is never said to lack; of what was not, most is.
func TestFilter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	f, added := newFilter(nil), []uint64{}
	for _, c := range []struct{ upTo, mistaken int }{{1000, 1}, {50_000, 300}, {200_000, 3500}} {
		for len(added) < c.upTo {
			hash := r.Uint64()
			f.add(hash)
			added = append(added, hash)
		}
		for _, hash := range added {
			if f.lacks(hash) {
				t.Fatalf("after %d: %x is there", c.upTo, hash)
			}
		}
		mistaken := 0
		for range 10_000 {
			if !f.lacks(r.Uint64()) {
				mistaken++
			}
		}
		if mistaken > c.mistaken {
			t.Errorf("after %d: of 10,000 others it does not know %d, at most %d are expected", c.upTo, mistaken, c.mistaken)
		}
	}
}
