package mongo

import (
	"hash/maphash"
	"slices"
	"sync"
)

// stripes let one change of a device's session be made at a time, in this process:
// some servers' updates are no compare-and-set, and others would make callers try
// again and again.
type stripes struct {
	locks [256]sync.Mutex
	seed  maphash.Seed
	once  sync.Once
}

// lock locks the sessions of devices, and returns what unlocks them.
func (s *stripes) lock(devices ...string) (unlock func()) {
	s.once.Do(func() { s.seed = maphash.MakeSeed() })
	var places []int
	for _, device := range devices {
		places = append(places, int(maphash.String(s.seed, device)%uint64(len(s.locks))))
	}
	slices.Sort(places) // always in this order, so that nobody waits in a circle
	places = slices.Compact(places)
	for _, place := range places {
		s.locks[place].Lock()
	}
	return func() {
		for _, place := range places {
			s.locks[place].Unlock()
		}
	}
}

// lockAll locks the sessions of all devices.
func (s *stripes) lockAll() (unlock func()) {
	for i := range s.locks {
		s.locks[i].Lock()
	}
	return func() {
		for i := range s.locks {
			s.locks[i].Unlock()
		}
	}
}
