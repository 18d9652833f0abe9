// Package bridge joins conversations to everything behind them: it decides
// what may be recorded, records it through one door, folds the log into
// conversations, and tells observers what became durable.
package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/parley-chat/parley"
)

// Observer is told what became durable. Calls come from one goroutine, in
// commit order; an observer must not block.
type Observer interface {
	// Changed is called when entries were folded into c; decided tells that a
	// control entry was among them, so that others than before may read c. It
	// comes before the Advanced call for those entries, so that an observer that
	// lost the right to read c knows it before it is woken for them.
	Changed(c parley.Conversation, decided bool)

	// Noted is called when there are new internal notes about c. It comes before
	// the Advanced call for them. When c was decided about, Advanced is called for
	// its notes as well, if it has any, behind Changed: they may have new readers.
	Noted(c parley.Conversation)

	// Marked is called when somebody has marked entries of c as delivered or read,
	// before the Advanced call for that user's events, and when its history was
	// cut.
	Marked(c parley.Conversation)

	// Advanced is called when stream is durable up to seq.
	Advanced(stream parley.Stream, seq int64)

	// Followed is called after the calls for a commit: all that was durable up to
	// server time at, in Unix milliseconds, has been told. It never falls.
	Followed(at int64)
}

// Options configure a Bridge. The zero value works.
type Options struct {
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // the clock of limits; nil means time.Now

	// NewConversations is how many conversations a visitor may open at once; 0
	// means the constant of that name. How fast they are free again is fixed.
	NewConversations int

	// SearchTime is how long a search may take; 0 means a second.
	SearchTime time.Duration

	// EditTimes is how long messages may be edited and deleted by their authors;
	// nil means parley.DefaultEditTimes.
	EditTimes *parley.EditTimes

	// Released is called when attachments may have lost their message, so that somebody
	// removes their bytes. It must not block. Nil calls nobody.
	Released func()
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewConversations == 0 {
		o.NewConversations = NewConversations
	}
	if o.SearchTime == 0 {
		o.SearchTime = time.Second
	}
	if o.EditTimes == nil {
		times := parley.DefaultEditTimes()
		o.EditTimes = &times
	}
	if o.Released == nil {
		o.Released = func() {}
	}
	return o
}

// Stats counts what a Bridge did since it started.
type Stats struct {
	Recorded      int64 // messages and notes stored
	Duplicates    int64 // repeats answered with the first one's position
	Refused       int64 // drafts refused for good
	Limited       int64 // tries to open a conversation that came too fast
	Retries       int64 // decisions taken again because somebody was faster
	TailReads     int64 // deliveries read from memory
	StoreReads    int64 // deliveries read from the store
	Conversations int64 // conversations held in memory

	Searches        int64         // pages of search results
	SearchesLimited int64         // searches refused because too many ran
	SearchesPartial int64         // pages that were not full when their time was up
	Indexed         int64         // documents written to the search index
	IndexWaiting    int64         // entries in memory that wait for it; it may lack more
	IndexBehind     time.Duration // how old what it lacks may be; 0: it lacks nothing
}

// Bridge is the one door to the log. All methods are safe for concurrent use.
type Bridge struct {
	store  Store
	log    *slog.Logger
	digest digester

	now       func() time.Time
	editTimes parley.EditTimes
	released  func()

	openings  openings
	tails     *tails
	folds     *folds
	follower  *follower
	projector *projector
	indexer   *indexer
	searches  *searches
	stats     stats
	fading    chan struct{} // closed to end it
	faded     sync.WaitGroup

	closeOnce sync.Once
}

// New opens a Bridge on store: it brings the conversation projection up to date
// with the log, and starts to follow it. observers must not be used with
// another Bridge. The Bridge does not close the store.
func New(ctx context.Context, store Store, o Options, observers ...Observer) (*Bridge, error) {
	o = o.withDefaults()
	key, err := store.Secret(ctx, "draft-digest-key", 32)
	if err != nil {
		return nil, fmt.Errorf("read draft digest key: %w", err)
	}
	b := &Bridge{
		store: store, log: o.Logger, digest: newDigester(key), now: o.Now, editTimes: *o.EditTimes, released: o.Released,
		openings: newOpenings(o.Now, o.NewConversations),
		fading:   make(chan struct{}),
	}
	b.projector = newProjector(store, o.Logger)
	b.folds = newFolds(store, b.projector)
	b.tails = newTails(store.Epoch())
	b.indexer = newIndexer(store, b.folds, o.Logger)
	b.searches = newSearches(o.SearchTime)
	b.follower = newFollower(b.folds, b.tails, b.projector, b.indexer, observers)
	if err := b.projector.recover(ctx, b.folds); err != nil {
		return nil, fmt.Errorf("bring conversations up to date: %w", err)
	}
	for _, o := range observers {
		o.Followed(b.projector.position)
	}
	store.Watch(b.follower.offer)
	b.follower.start()
	b.projector.start()
	if err := b.indexer.start(ctx); err != nil {
		b.follower.stop()
		return nil, errors.Join(err, b.projector.stop())
	}
	b.faded.Go(b.fade)
	return b, nil
}

// Close stops following the log and saves the projection. Appends that arrive
// later are still durable; the next start projects them.
func (b *Bridge) Close() error {
	var err error
	b.closeOnce.Do(func() {
		close(b.fading)
		b.faded.Wait()
		b.indexer.stop()
		b.follower.stop()
		err = b.projector.stop()
	})
	return err
}

// fadeEvery is how long what is kept in memory may go unused, once to twice.
const fadeEvery = 5 * time.Minute

// fade forgets what is not used, so that memory goes by what is going on, and not
// by how long the process has been.
func (b *Bridge) fade() {
	tick := time.NewTicker(fadeEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.fading:
			return
		case <-tick.C:
			b.folds.fade()
			b.tails.fade()
		}
	}
}

// Epoch identifies the numbering of all streams.
func (b *Bridge) Epoch() string { return b.store.Epoch() }

// Ready returns nil when messages can be recorded right now, or why not.
func (b *Bridge) Ready(ctx context.Context) error { return b.store.Ready(ctx) }

// Stats returns the counters.
func (b *Bridge) Stats() Stats {
	s := b.stats.read()
	s.Conversations = int64(b.folds.len())
	s.Indexed, s.IndexWaiting, s.IndexBehind = b.indexer.lag(b.now())
	return s
}

// settle waits until everything that was durable when it was called is folded
// and projected, so that a list shows what its reader has just written.
func (b *Bridge) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := b.follower.barrier(ctx); err != nil {
		return err
	}
	return b.projector.flush(ctx)
}
