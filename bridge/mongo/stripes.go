package mongo

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// yieldAfter is how long somebody waits for who yields.
const yieldAfter = 500 * time.Millisecond

// stripes let one change of a device's session be made at a time, in this process:
// some servers' updates are no compare-and-set, and others would make callers try
// again and again.
type stripes struct {
	all  [256]stripe
	seed maphash.Seed
	once sync.Once
}

type stripe struct {
	mu    sync.Mutex
	yield atomic.Pointer[context.CancelFunc] // of who has it and would give it up
}

func (s *stripe) lock() {
	if s.mu.TryLock() {
		return
	}
	late := time.AfterFunc(yieldAfter, func() {
		if yield := s.yield.Load(); yield != nil {
			(*yield)()
		}
	})
	defer late.Stop()
	s.mu.Lock()
}

// lock locks the sessions of devices, and returns what unlocks them.
func (s *stripes) lock(devices ...string) (unlock func()) {
	places := s.places(devices)
	for _, place := range places {
		s.all[place].lock()
	}
	return func() {
		for _, place := range places {
			s.all[place].mu.Unlock()
		}
	}
}

// lockYielding is lock for what can wait, and concerns many: the context that it returns
// ends when somebody else has waited for one of them for a while.
func (s *stripes) lockYielding(ctx context.Context, devices ...string) (yielding context.Context, unlock func()) {
	unlockAll := s.lock(devices...)
	yielding, yield := context.WithCancel(ctx)
	places := s.places(devices)
	for _, place := range places {
		s.all[place].yield.Store(&yield)
	}
	return yielding, func() {
		for _, place := range places {
			s.all[place].yield.Store(nil)
		}
		yield()
		unlockAll()
	}
}

// places are always in the same order, so that nobody waits in a circle.
func (s *stripes) places(devices []string) []int {
	s.once.Do(func() { s.seed = maphash.MakeSeed() })
	var places []int
	for _, device := range devices {
		places = append(places, int(maphash.String(s.seed, device)%uint64(len(s.all))))
	}
	slices.Sort(places)
	return slices.Compact(places)
}

// lockAll locks the sessions of all devices.
func (s *stripes) lockAll() (unlock func()) {
	for i := range s.all {
		s.all[i].lock()
	}
	return func() {
		for i := range s.all {
			s.all[i].mu.Unlock()
		}
	}
}
