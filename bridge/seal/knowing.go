package seal

import (
	"context"
	"time"
)

// Looking for data keys that another server has made.
const (
	missTime    = time.Second // after which one that is not there is looked for again
	missMost    = 1000        // remembered
	missTimeout = 5 * time.Second
)

// knowing returns a sealed site, nil if it is not sealed. If it does not know the data key
// that something is sealed with, another server may have made that: it looks.
func (s *Store) knowing(name string, sealed []byte) *site {
	k := s.site(name)
	number, ok := numberOf(sealed)
	if !ok || k != nil && k.keys[number] != nil {
		return k
	}
	s.look(ref{name, number})
	return s.site(name)
}

// look reads the records that are new, unless the data key has just been looked for.
func (s *Store) look(key ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ring.Load().has(key) || time.Since(s.missed[key]) < missTime {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), missTimeout)
	defer cancel()
	if err := s.load(ctx); err != nil {
		s.log.Error("data keys that another server has made cannot be read", "error", err)
	}
	if s.ring.Load().has(key) {
		return
	}
	if len(s.missed) >= missMost {
		clear(s.missed)
	}
	s.missed[key] = time.Now()
}
