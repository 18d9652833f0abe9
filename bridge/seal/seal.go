// Package seal keeps what people write encrypted in any store: it stands in front of a
// bridge.Store and is one. DESIGN.md tells what it protects, and what not.
package seal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

var _ bridge.Store = (*Store)(nil)

// Options configure a Store.
type Options struct {
	Keys   Keys         // master keys; none are needed while no site is sealed
	Logger *slog.Logger // nil discards

	// ReadOnly lets data keys stay wrapped as they are, for who only reads the store.
	ReadOnly bool
}

// Stats counts what a Store did since it was opened.
type Stats struct {
	Sites    int64 // that are sealed
	Waiting  int64 // data keys that are still to be wrapped with the newest master key
	Sealed   int64 // entries written
	Damaged  int64 // entries, rows and registers that could not be opened
	Rotation int64 // rotations that were completed
}

// Store is a bridge.Store in front of another. All methods are safe for concurrent use.
// Sites that are not sealed pass through as they are.
type Store struct {
	inner bridge.Store
	log   *slog.Logger
	ring  atomic.Pointer[ring]

	flying sync.Map // entries as they were written, by the first byte of what is being stored of them

	sealed, damaged, waiting, rotations atomic.Int64
	told                                atomic.Int64 // when damage was logged last, in seconds

	mu       sync.Mutex // guards what follows, and who writes to the stream of keys
	keys     Keys
	wraps    map[ref][]wrap
	position int64             // in the stream of keys
	missed   map[ref]time.Time // data keys that were looked for and are not there

	wake    chan struct{}
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// Open stands in front of inner. It fails with ErrKeys, and names the master keys that
// are missing, unless it can read everything. Data keys that are not wrapped with the
// newest master key are wrapped again in the background. ctx bounds the opening only.
func Open(ctx context.Context, inner bridge.Store, o Options) (*Store, error) {
	s := newStore(inner, o)
	s.mu.Lock()
	err := s.load(ctx)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	background, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	if !o.ReadOnly {
		s.running.Go(func() { s.rotateAlways(background) })
	}
	s.wake <- struct{}{}
	return s, nil
}

// newStore returns a Store that knows no data key yet.
func newStore(inner bridge.Store, o Options) *Store {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{inner: inner, log: o.Logger, keys: o.Keys, wraps: map[ref][]wrap{}, missed: map[ref]time.Time{}, wake: make(chan struct{}, 1)}
	s.ring.Store(newRing())
	return s
}

// Close ends what runs in the background. It does not close the store behind.
func (s *Store) Close() error {
	s.cancel()
	s.running.Wait()
	return nil
}

// Use takes other master keys, the newest first, while everything goes on: data keys are
// wrapped with the newest one in the background. It fails with ErrKeys, and changes
// nothing, when there are none for a store that has data keys, and when one has the id of
// another one in use.
func (s *Store) Use(k Keys) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.Empty() && len(s.wraps) > 0 {
		return fmt.Errorf("%w: none is given", ErrKeys)
	}
	for _, m := range k.list {
		if was, ok := s.keys.find(m.id); ok && was.key != m.key {
			return fmt.Errorf("%w: the master key %s has other bytes than before", ErrKeys, m.id)
		}
	}
	s.keys = k
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// Keys returns the master keys in use.
func (s *Store) Keys() Keys {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	return Stats{
		Sites: int64(len(s.ring.Load().sites)), Waiting: s.waiting.Load(), Sealed: s.sealed.Load(),
		Damaged: s.damaged.Load(), Rotation: s.rotations.Load(),
	}
}

// SealSite makes everything that is written for a site from now on sealed. It is
// idempotent, and cannot be undone. What was written before stays as it is, see Count,
// but for what lists show of conversations and the names of attachments, and the search
// index: that is to be filled again by the next bridge.New. No bridge may be open on the store, nor another server.
func (s *Store) SealSite(ctx context.Context, name string) error {
	if !parley.ValidID(name) {
		return parley.Errorf(parley.CodeInvalid, "%q is not the id of a site", name)
	}
	if err := s.begin(ctx, name); err != nil {
		return err
	}
	if err := s.sealRows(ctx, name); err != nil {
		return err
	}
	if err := s.sealAttachments(ctx, name); err != nil {
		return err
	}
	if err := s.inner.SaveDocuments(ctx, nil, 0); err != nil {
		return fmt.Errorf("have the search index filled again: %w", err)
	}
	return nil
}

// SealNewSites makes sites sealed from their beginning, all that are not. It is for sites
// that nothing was written for yet: those that there are get SealSite before. It is
// idempotent, and cannot be undone.
func (s *Store) SealNewSites(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ring.Load().every {
		return nil
	}
	if s.keys.Empty() {
		return errNoKey
	}
	return s.put(ctx, []record{s.wrapped(ref{site: everySite}, s.keys.Newest().id, nil)})
}

var errNoKey = errors.New("sealing takes a master key; make one with: parley key new")

// begin makes the first data key of a site.
func (s *Store) begin(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ring.Load().sites[name] != nil {
		return nil
	}
	if s.keys.Empty() {
		return errNoKey
	}
	return s.put(ctx, []record{s.fresh(name, 1)})
}

// fresh makes a data key. The lock is held.
func (s *Store) fresh(name string, number uint64) record {
	born := s.keys.Newest().id
	return s.wrapped(ref{name, number}, born, newDataKey(number, born, nil).key)
}

// site returns a sealed site; nil if it is not.
func (s *Store) site(name string) *site { return s.ring.Load().sites[name] }

// writing returns a sealed site that is about to be written for; nil if it is not
// sealed. It begins to be where that is what new sites do.
func (s *Store) writing(ctx context.Context, name string) (*site, error) {
	r := s.ring.Load()
	if is := r.sites[name]; is != nil || !r.every || !parley.ValidID(name) {
		return is, nil
	}
	if err := s.begin(ctx, name); err != nil {
		return nil, fmt.Errorf("begin to seal the site %s: %w", name, err)
	}
	return s.site(name), nil
}

// damage counts, and tells now and then, that something could not be opened.
func (s *Store) damage(what string, err error, where ...any) {
	s.damaged.Add(1)
	now := time.Now().Unix()
	if last := s.told.Load(); now > last && s.told.CompareAndSwap(last, now) {
		s.log.Error("damaged: "+what+" cannot be opened and is read as if it were deleted", append(where, "error", err)...)
	}
}
