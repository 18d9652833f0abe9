package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/parley-chat/parley"
)

// Timing and bounds of the search index. It is written behind the
// acknowledgement, and during at most half of the time, so that what else the
// store has to write finds room.
const (
	indexInterval = 500 * time.Millisecond
	indexTimeout  = 10 * time.Second // of a page, to read and to write
	indexRetry    = time.Second
	indexPage     = 500
	indexWaiting  = 4096    // entries in memory; beyond that the log is read
	indexBytes    = 8 << 20 // of their bodies
	indexReport   = 10 * time.Second
)

// indexer keeps the search index up to date. It reads the log from its saved
// position, and then takes what the follower hands it. When it cannot keep up
// with that, it reads the log again.
type indexer struct {
	store Store
	docs  *documents
	log   *slog.Logger

	warned time.Time // its goroutine's

	mu       sync.Mutex
	waiting  []parley.Entry // followed and not in the index, in order
	bytes    int            // of their bodies
	missed   bool           // there were more
	live     bool           // all that was followed is in the index, or waits
	begun    bool           // the log was looked at
	followed int64          // newest server time that was followed
	position int64          // server time up to which everything is in the index
	written  int64          // documents
	moved    chan struct{}  // closed when something was written

	wake    chan struct{} // something waits
	hurry   chan struct{} // and somebody for it
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func newIndexer(store Store, f *folds, log *slog.Logger) *indexer {
	return &indexer{
		store: store, docs: newDocuments(store, f), log: log, moved: make(chan struct{}),
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
	}
}

// start begins to fill the index from its saved position.
func (x *indexer) start(ctx context.Context) error {
	saved, err := x.store.IndexedTo(ctx)
	if err != nil {
		return fmt.Errorf("read the search index's position: %w", err)
	}
	x.position = saved
	ctx, x.cancel = context.WithCancel(context.Background())
	x.running.Go(func() { x.run(ctx, max(0, saved-recoverMargin.Milliseconds())) })
	return nil
}

// stop ends the indexer. What it has not written it finds again in the log.
func (x *indexer) stop() {
	x.cancel()
	x.running.Wait()
}

// add takes what has just become durable. It does not block.
func (x *indexer) add(entries []parley.Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		x.followed = max(x.followed, e.At)
		if x.missed || !searchable(e) {
			continue
		}
		if len(x.waiting) >= indexWaiting || x.bytes > indexBytes {
			x.waiting, x.bytes, x.missed, x.live = nil, 0, true, false
			continue
		}
		x.waiting, x.bytes = append(x.waiting, *e), x.bytes+len(e.Body)
	}
	if len(x.waiting) > 0 || x.missed {
		signal(x.wake)
	}
}

// signal wakes who waits for c, now or the next time.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (x *indexer) run(ctx context.Context, from int64) {
	for ctx.Err() == nil {
		x.fill(ctx, from)
		x.follow(ctx)
		from = x.reached()
	}
}

// fill indexes what the log holds from a server time on.
func (x *indexer) fill(ctx context.Context, from int64) {
	var last *parley.Entry
	read, reported := 0, time.Now()
	for ctx.Err() == nil {
		began := time.Now()
		n, err := x.fillPage(ctx, from, &last)
		if err != nil {
			x.retry(ctx, err)
			continue
		}
		read += n
		if n < indexPage {
			break
		}
		if time.Since(reported) > indexReport {
			reported = time.Now()
			x.log.Info("search index is being filled", "entries", read, "to", time.UnixMilli(last.At).UTC())
		}
		rest(ctx, time.Since(began))
	}
	if read > 10*indexPage {
		x.log.Info("search index is filled", "entries", read)
	}
}

// fillPage indexes a page of the log. When it was the last one, what comes behind
// it is waiting.
func (x *indexer) fillPage(ctx context.Context, from int64, last **parley.Entry) (n int, err error) {
	x.mu.Lock()
	x.waiting, x.bytes, x.missed = nil, 0, false // the page will show all that is durable now
	x.mu.Unlock()
	reading, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	page, err := x.store.EntriesSince(reading, from, *last, indexPage)
	if err != nil {
		return 0, fmt.Errorf("read the log: %w", err)
	}
	if len(page) > 0 {
		if err := x.write(ctx, page, 0); err != nil {
			return 0, err
		}
		*last = &page[len(page)-1]
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.live, x.begun = len(page) < indexPage && !x.missed, true
	x.announce()
	return len(page), nil
}

// follow indexes what comes in, until some of it was missed or ctx ends.
func (x *indexer) follow(ctx context.Context) {
	for x.isLive() {
		select {
		case <-ctx.Done():
			return
		case <-x.hurry:
		case <-x.wake:
			select {
			case <-ctx.Done():
				return
			case <-x.hurry:
			case <-time.After(indexInterval):
			}
		}
		x.writeWaiting(ctx)
	}
}

func (x *indexer) isLive() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.live
}

// writeWaiting indexes what waits, page by page.
func (x *indexer) writeWaiting(ctx context.Context) {
	for ctx.Err() == nil {
		x.mu.Lock()
		page := x.waiting[:min(len(x.waiting), indexPage)]
		x.mu.Unlock()
		if len(page) == 0 {
			return
		}
		began := time.Now()
		if err := x.write(ctx, page, len(page)); err != nil {
			x.retry(ctx, err)
			continue
		}
		if len(page) == indexPage {
			rest(ctx, time.Since(began))
		}
	}
}

// write indexes entries, which are in the order of the log. The first taken of
// what waits are among them.
func (x *indexer) write(ctx context.Context, entries []parley.Entry, taken int) error {
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	docs, err := x.docs.of(ctx, entries)
	if err != nil {
		return err
	}
	position := max(x.reached(), entries[len(entries)-1].At)
	if err := x.store.SaveDocuments(ctx, docs, position); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.position, x.written = position, x.written+int64(len(docs))
	if !x.missed { // else they are gone already
		x.drop(taken)
	}
	x.announce()
	return nil
}

// announce wakes those who wait in settle. The lock is held.
func (x *indexer) announce() {
	close(x.moved)
	x.moved = make(chan struct{})
}

// drop forgets the first n that wait. The lock is held.
func (x *indexer) drop(n int) {
	for i := range x.waiting[:n] {
		x.bytes -= len(x.waiting[i].Body)
	}
	if x.waiting = x.waiting[n:]; len(x.waiting) == 0 {
		x.waiting = nil
	}
}

func (x *indexer) reached() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.position
}

// retry waits after an error, and tells of it now and then.
func (x *indexer) retry(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if time.Since(x.warned) > indexReport {
		x.warned = time.Now()
		x.log.Warn("search index is behind", "error", err)
	}
	rest(ctx, indexRetry)
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// settle waits until what was followed before the call is in the index, and
// reports whether it is. It does not wait for an index that is being filled.
func (x *indexer) settle(ctx context.Context) bool {
	x.mu.Lock()
	to := x.followed
	x.mu.Unlock()
	for {
		x.mu.Lock()
		live, begun, moved := x.live, x.begun, x.moved
		waits := len(x.waiting) > 0 && x.waiting[0].At <= to
		x.mu.Unlock()
		if begun && (!live || !waits) {
			return live
		}
		signal(x.hurry)
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		}
	}
}

// lag tells how far the index is behind the log: the entries that are known to
// wait, and the age of its position while something does.
func (x *indexer) lag(now time.Time) (written, waiting int64, behind time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.live || len(x.waiting) > 0 {
		behind = now.Sub(time.UnixMilli(x.position))
	}
	return x.written, int64(len(x.waiting)), max(behind, 0)
}
