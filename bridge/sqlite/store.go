// Package sqlite keeps Parley's streams in one folder on the local disk, in an
// SQLite database with a journal in front.
//
// Two goroutines write. The appender gives entries their place, writes what
// many callers hand in with one fsync of a journal, and answers. The writer
// brings the journal into the database behind it, and keeps all the rest there.
// See DESIGN.md for what happens when the disk misbehaves. Reads merge the two
// and see only what is durable.
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
	"github.com/parley-chat/parley/bridge/sqlite/journal"
)

var _ bridge.Store = (*Store)(nil)

// Options tells where a store is and what it uses.
type Options struct {
	Dir    string           // the folder; it is created if it does not exist
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // server time of entries; nil means time.Now

	// Version is what this Parley is called. The folder remembers which one has made
	// its schema, to name it to older ones.
	Version string

	// PurgeAfter is how long what was deleted may stay in the files, about; 0
	// means 10 s. Readers do not get it from the moment the delete is durable.
	PurgeAfter time.Duration

	fill filling
}

// Store is an open store. All methods are safe for concurrent use.
type Store struct {
	dir    string
	logger *slog.Logger
	now    func() time.Time
	lock   *os.File
	epoch  string

	appends  chan *appendJob // holds queueLength jobs; when it is full, callers wait
	queue    chan *job       // the same for the writer
	closing  chan struct{}   // closed by Close: no new jobs
	appended chan struct{}   // closed by the appender when it has ended
	stopped  chan struct{}   // closed by the writer when it has ended, after that

	scrubber  sync.WaitGroup // ends before all others
	stopScrub context.CancelFunc

	journal *journal.Journal
	pending *pending
	newest  int64        // server time of the newest entry at the opening: time never falls
	hurry   atomic.Int64 // callers that wait until what is pending is applied

	readMu  sync.RWMutex
	readers *readers // nil while the database is being reopened, and after Close

	purgeAfter time.Duration

	watch    atomic.Pointer[func([]parley.Entry)]
	intake   health // of the journal
	health   health // of the database
	counters counters

	closeOnce sync.Once
	closeErr  error
}

// Open opens the store in o.Dir, creates it if there is none, and brings its
// schema up to date. It fails when another process has the folder open, when a
// newer version of Parley has written it, and when it finds damage. When Open
// returns, everything that can be read is durable. ctx bounds the opening only.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.PurgeAfter == 0 {
		o.PurgeAfter = purgeAfter
	}
	lock, err := openFolder(o.Dir, o.fill.on)
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir: o.Dir, logger: o.Logger, now: o.Now, lock: lock,
		appends: make(chan *appendJob, queueLength), queue: make(chan *job, queueLength),
		closing: make(chan struct{}), appended: make(chan struct{}), stopped: make(chan struct{}),
		pending: newPending(), purgeAfter: o.PurgeAfter,
	}
	if err := s.start(ctx, o); err != nil {
		if s.health.down.Load() == nil { // otherwise it has been explained
			err = s.explain(err)
		}
		return nil, errors.Join(fmt.Errorf("open store in %s: %w", o.Dir, err), lock.Close())
	}
	return s, nil
}

func (s *Store) start(ctx context.Context, o Options) error {
	if err := s.sealOld(ctx); err != nil {
		return err
	}
	db, err := openDatabase(ctx, s.dir)
	if err != nil {
		return err
	}
	if s.epoch, err = db.prepareStore(ctx, o); err != nil {
		return errors.Join(err, db.close())
	}
	if err := s.openJournal(ctx, db); err != nil {
		return errors.Join(err, db.close())
	}
	if s.readers, err = openReaders(ctx, s.dir); err != nil {
		return errors.Join(err, s.journal.Close(), db.close())
	}
	small, err := s.verifySmall(ctx)
	if err != nil {
		return errors.Join(err, s.readers.close(), s.journal.Close(), db.close())
	}
	w := newWriter(s, db)
	if err := w.resumePurge(); err != nil {
		return errors.Join(err, s.readers.close(), s.journal.Close(), db.close())
	}
	go newAppender(s).run()
	go w.run()
	scrubbing, stop := context.WithCancel(context.Background())
	s.stopScrub = stop
	s.scrubber.Go(func() { s.scrubAlways(scrubbing, small) })
	return nil
}

// Close writes what has been handed in, then closes the files. Calls made after
// it fail. It may be called more than once.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.stopScrub()
		s.scrubber.Wait()
		<-s.stopped
		s.closeErr = errors.Join(s.closeErr, s.lock.Close())
	})
	return s.closeErr
}

// Epoch identifies the store's numbering.
func (s *Store) Epoch() string { return s.epoch }

// Watch sets the function that learns of new durable entries; see bridge.Store.
// fn may keep the slice, but readers share it: it must not be changed.
func (s *Store) Watch(fn func(entries []parley.Entry)) { s.watch.Store(&fn) }

// Ready reports whether writes are possible right now: nil, or the reason. There
// has to be room in the journal; after a failed write as much as that wanted, and
// then a small one is tried.
func (s *Store) Ready(ctx context.Context) error {
	now := time.Now()
	for _, h := range []*health{&s.intake, &s.health} {
		if err := h.err(now); err != nil {
			return err
		}
	}
	if err := s.append(ctx, &appendJob{probe: true, abandoned: ctx.Done(), done: make(chan error, 1)}); err != nil {
		return err
	}
	if err := s.health.behind.Load(); err != nil {
		return unavailable(*err)
	}
	if !s.health.failing.Load() {
		return nil
	}
	return s.do(ctx, 1, workFunc(func(w *writer) error {
		_, err := w.exec(`UPDATE meta SET value = value WHERE key = 'epoch'`)
		return err
	}))
}
