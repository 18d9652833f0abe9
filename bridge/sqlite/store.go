// Package sqlite keeps Parley's streams in one folder on the local disk, in an
// SQLite database.
//
// One goroutine writes. It collects what the callers hand in, commits it
// together and answers when the commit has been fsynced; see DESIGN.md for what
// happens when the disk misbehaves. Reads use connections of their own and see
// only what has been committed.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

var _ bridge.Store = (*Store)(nil)

// Options tells where a store is and what it uses.
type Options struct {
	Dir    string           // the folder; it is created if it does not exist
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // server time of entries; nil means time.Now
}

// Store is an open store. All methods are safe for concurrent use.
type Store struct {
	dir    string
	logger *slog.Logger
	now    func() time.Time
	lock   *os.File
	epoch  string

	queue   chan *job     // holds queueLength jobs; when it is full, callers wait
	closing chan struct{} // closed by Close: no new jobs
	stopped chan struct{} // closed by the writer when it has ended

	readMu  sync.RWMutex
	readers *readers // nil while the database is being reopened, and after Close

	watch    atomic.Pointer[func([]parley.Entry)]
	health   health
	counters counters

	closeOnce sync.Once
	closeErr  error
}

// Open opens the store in o.Dir, creates it if there is none, and brings its
// schema up to date. It fails when another process has the folder open, and
// when a newer version of Parley has written it. When Open returns, everything
// that can be read is durable. ctx bounds the opening only.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	lock, err := openFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir: o.Dir, logger: o.Logger, now: o.Now, lock: lock,
		queue:   make(chan *job, queueLength),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open store in %s: %w", o.Dir, s.explain(err)), lock.Close())
	}
	return s, nil
}

func (s *Store) start(ctx context.Context) error {
	db, err := openDatabase(ctx, s.dir)
	if err != nil {
		return err
	}
	if s.epoch, err = db.prepareStore(ctx); err != nil {
		return errors.Join(err, db.close())
	}
	if s.readers, err = openReaders(ctx, s.dir); err != nil {
		return errors.Join(err, db.close())
	}
	go newWriter(s, db).run()
	return nil
}

// Close writes what has been handed in, then closes the files. Calls made after
// it fail. It may be called more than once.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.stopped
		s.closeErr = errors.Join(s.closeErr, s.lock.Close())
	})
	return s.closeErr
}

// Epoch identifies the store's numbering.
func (s *Store) Epoch() string { return s.epoch }

// Watch sets the function that learns of new durable entries; see bridge.Store.
// The slice belongs to fn.
func (s *Store) Watch(fn func(entries []parley.Entry)) { s.watch.Store(&fn) }

// Ready reports whether writes are possible right now: nil, or the reason. After
// a failed write it tries a small one.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.health.err(time.Now()); err != nil {
		return err
	}
	if !s.health.failing.Load() {
		return nil
	}
	return s.do(ctx, 1, workFunc(func(w *writer) error {
		_, err := w.exec(`UPDATE meta SET value = value WHERE key = 'epoch'`)
		return err
	}))
}
