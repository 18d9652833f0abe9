package seal

import (
	"context"
	"fmt"
	"time"
)

// rotateRetry is how long a rotation that failed waits before it goes on.
const rotateRetry = time.Second

// rotateAlways wraps data keys again whenever there is a newer master key.
func (s *Store) rotateAlways(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		for {
			err := s.Rotate(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			s.log.Warn("data keys are not wrapped with the newest master key yet; trying again", "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(rotateRetry):
			}
		}
	}
}

// Rotate wraps all data keys with the newest master key, gives sites new ones if that
// key says so, and has the store forget what they were wrapped with before. It does
// nothing if that is done. Who reads and writes meanwhile does not notice. After an
// error, and after a crash, rotating again goes on.
func (s *Store) Rotate(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys.Empty() || len(s.wraps) == 0 {
		return nil
	}
	todo := s.outdated()
	s.waiting.Store(int64(len(todo)))
	if len(todo) > 0 {
		if err := s.put(ctx, todo); err != nil {
			return err
		}
	}
	s.waiting.Store(0)
	cut, err := s.forget(ctx)
	if err != nil || !cut && len(todo) == 0 {
		return err
	}
	s.rotations.Add(1)
	s.log.Info("data keys are wrapped with the newest master key", "key", s.keys.Newest(), "data_keys", len(s.wraps))
	return nil
}

// outdated returns records of the data keys that the newest master key does not wrap yet,
// and of those that are to be new. The lock is held.
func (s *Store) outdated() (todo []record) {
	newest, r := s.keys.Newest(), s.ring.Load()
	for _, key := range s.refs() {
		if s.wrapOf(key, newest.id) == nil {
			born, plain := s.wraps[key][0].Born, []byte(nil)
			if key.site != everySite {
				k := r.sites[key.site].keys[key.number]
				born, plain = k.born, k.key
			}
			todo = append(todo, s.wrapped(key, born, plain))
		}
	}
	for name, is := range r.sites {
		if newest.renews && is.newest.born != newest.id {
			todo = append(todo, s.fresh(name, is.newest.number+1))
		}
	}
	return todo
}

// wrapOf returns the newest record by which a master key wraps a data key, nil if there
// is none.
func (s *Store) wrapOf(key ref, master string) *wrap {
	for i := len(s.wraps[key]) - 1; i >= 0; i-- {
		if w := &s.wraps[key][i]; w.Master == master {
			return w
		}
	}
	return nil
}

// forget takes the records from the store that come before all that are needed, and
// reports whether there were any. The lock is held.
func (s *Store) forget(ctx context.Context) (bool, error) {
	first := int64(0)
	for key := range s.wraps {
		w := s.wrapOf(key, s.keys.Newest().id)
		if w == nil {
			return false, fmt.Errorf("%s is not wrapped with the newest master key", siteText(key.site))
		}
		if first == 0 || w.seq < first {
			first = w.seq
		}
	}
	head, err := s.inner.Head(ctx, keysStream)
	if err != nil || max(head.First, 1) >= first {
		return false, err
	}
	if _, err := s.inner.Cut(ctx, keysStream, first); err != nil {
		return false, fmt.Errorf("forget what data keys were wrapped with: %w", err)
	}
	for key, wraps := range s.wraps {
		kept := wraps[:0]
		for _, w := range wraps {
			if w.seq >= first {
				kept = append(kept, w)
			}
		}
		s.wraps[key] = kept
	}
	return true, nil
}
