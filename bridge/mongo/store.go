// Package mongo keeps Parley's streams in MongoDB, or in any server that speaks
// its protocol.
//
// One goroutine, the appender, gives entries their place in memory and inserts
// what many callers hand in with one command; the unique indexes are the judge
// when somebody else was faster, and when it is not known what became of an
// insert. Everything is written with w:majority and j:true, and read from the
// primary with read concern majority. See SCHEMA.md.
package mongo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

var _ bridge.Store = (*Store)(nil)

// Options tells where a store is and how it is used.
type Options struct {
	URI      string           // mongodb:// or mongodb+srv://
	Database string           // empty: the one that the URI names, or else "parley"
	Logger   *slog.Logger     // nil discards
	Now      func() time.Time // server time of entries; nil means time.Now

	// Version is what this Parley is called. The database remembers which one has
	// made its schema, to name it to older ones.
	Version string

	// NoProbe leaves out the test that the server loses no updates. Only tests
	// use servers that do.
	NoProbe bool

	// Attempt bounds one command; 0 means 4 s. What has not answered by then is
	// tried again on another connection.
	Attempt time.Duration

	// Patience bounds how long a caller waits while nothing of what it wants gets
	// on; 0 means 5 s. Then the failure is a temporary one.
	Patience time.Duration

	fill  filling
	steps []migration // nil: migrations()

	// Commands, if set, is told every command that is sent, as BSON. It is for
	// tests: bodies of messages are in there.
	Commands func(name string, command []byte)
}

// DefaultDatabase is used when neither the options nor the URI name one.
const DefaultDatabase = "parley"

const (
	attempt  = 4 * time.Second // see Options.Attempt
	patience = 5 * time.Second // see Options.Patience
)

// Store is an open store. All methods are safe for concurrent use.
type Store struct {
	logger   *slog.Logger
	now      func() time.Time
	attempt  time.Duration
	patience time.Duration
	client   *driver.Client
	c        collections
	epoch    string

	generations generations
	stripes     stripes    // of sessions, see sessions.go
	accounts    sync.Mutex // one change of sites and accounts at a time
	newest      atomic.Int64
	redactions  redactions
	recent      *recent
	cuts        atomic.Int64 // how many there were
	cutting     sync.Mutex   // one cut, or save of what a cut changes, at a time

	appends  chan *job     // holds queueLength; when it is full, callers wait
	closing  chan struct{} // closed by Close: no new calls
	appended chan struct{} // closed by the appender when it has ended
	ctx      context.Context
	cancel   context.CancelFunc // ends what the appender does

	watch    atomic.Pointer[func([]parley.Entry)]
	trouble  atomic.Pointer[error] // why appends are unresolved, nil if none is
	ready    readiness
	counters counters

	closeOnce sync.Once
	closeErr  error
}

// Open connects to the server, makes what is missing there, and finishes what a
// crash left undone. It fails with an explanation when the server cannot be
// used. ctx bounds the opening only.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Attempt == 0 {
		o.Attempt = attempt
	}
	if o.Patience == 0 {
		o.Patience = patience
	}
	client, database, err := connect(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{
		logger: o.Logger, now: o.Now, attempt: o.Attempt, patience: o.Patience, client: client, c: collectionsOf(client.Database(database)),
		recent: newRecent(), appends: make(chan *job, queueLength), closing: make(chan struct{}), appended: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.start(ctx, o); err != nil {
		s.cancel()
		return nil, errors.Join(fmt.Errorf("open store: %w", explain(err, o.URI)), disconnect(client))
	}
	return s, nil
}

func (s *Store) start(ctx context.Context, o Options) error {
	if o.steps == nil {
		o.steps = migrations()
	}
	if err := s.checkSchema(ctx, o); err != nil { // before anything is written there
		return err
	}
	if !o.NoProbe {
		if err := s.probe(ctx); err != nil {
			return err
		}
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.loadMeta(ctx, o); err != nil {
		return err
	}
	if err := s.loadNewest(ctx); err != nil {
		return err
	}
	if err := s.renewIndex(ctx); err != nil {
		return err
	}
	if err := s.finishDeletes(ctx); err != nil {
		return err
	}
	go newAppender(s).run()
	return nil
}

// Close writes what has been handed in, unless the server does not answer, and
// disconnects. Calls made after it fail. It may be called more than once.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.appended
		s.cancel()
		s.closeErr = disconnect(s.client)
	})
	return s.closeErr
}

// disconnect closes all connections.
func disconnect(client *driver.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := client.Disconnect(ctx); err != nil {
		return fmt.Errorf("disconnect: %w", err)
	}
	return nil
}

// Epoch identifies the store's numbering.
func (s *Store) Epoch() string { return s.epoch }

// Watch sets the function that learns of new durable entries; see bridge.Store.
// fn may keep the slice.
func (s *Store) Watch(fn func(entries []parley.Entry)) { s.watch.Store(&fn) }

// serverTime returns the time of now, which never falls.
func (s *Store) serverTime() int64 {
	now := s.now().UnixMilli()
	for {
		newest := s.newest.Load()
		if now <= newest {
			return newest
		}
		if s.newest.CompareAndSwap(newest, now) {
			return now
		}
	}
}

// limit bounds one command.
func (s *Store) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.attempt)
}

// once makes one command, with its limit.
func (s *Store) once(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return do(ctx)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

var errClosed = errors.New("the store is closed")
