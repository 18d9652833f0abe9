package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// Timing of the projection. Rows are written behind the acknowledgement, and
// coalesced: a busy conversation costs one row per interval.
const (
	projectInterval = 500 * time.Millisecond
	projectTimeout  = 5 * time.Second
	recoverMargin   = 10 * time.Minute // how far behind its position a restarted reader looks again
	recoverPage     = 1000
)

// projector writes the rows of conversations and of notes that lists and searches
// read. The log
// is the truth; a crash loses nothing, because the next start reads on from the
// saved position.
type projector struct {
	store Store
	log   *slog.Logger

	mu       sync.Mutex
	dirty    map[parley.Stream]row
	settings map[registerKey]parley.Register // personal registers to be written
	position int64                           // server time up to which everything is in dirty or stored
	saved    int64

	writing sync.Mutex // one write at a time
	wake    chan struct{}
	quit    chan struct{}
	done    sync.WaitGroup
}

// row is one to be written, and which version of it.
type row struct {
	parley.Conversation
	version int
}

type registerKey struct{ site, user, key string }

func newProjector(store Store, log *slog.Logger) *projector {
	return &projector{
		store: store, log: log, dirty: map[parley.Stream]row{}, settings: map[registerKey]parley.Register{},
		wake: make(chan struct{}, 1), quit: make(chan struct{}),
	}
}

func (p *projector) start() { p.done.Go(p.run) }

func (p *projector) stop() error {
	close(p.quit)
	p.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), projectTimeout)
	defer cancel()
	return p.flush(ctx)
}

// add takes rows to be written together.
func (p *projector) add(rows ...parley.Conversation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range rows {
		p.dirty[c.Stream()] = row{c, p.dirty[c.Stream()].version + 1}
	}
}

// set takes a personal register to be written.
func (p *projector) set(r UserRegister) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := registerKey{r.Site, r.User, r.Key}
	if r.Version > p.settings[key].Version {
		p.settings[key] = r.Register
	}
}

// pendingRegisters returns a user's registers that are not written yet.
func (p *projector) pendingRegisters(site, user string) []parley.Register {
	p.mu.Lock()
	defer p.mu.Unlock()
	var pending []parley.Register
	for key, r := range p.settings {
		if key.site == site && key.user == user {
			pending = append(pending, r)
		}
	}
	return pending
}

// followed says that everything up to server time at has been added.
func (p *projector) followed(at int64) {
	p.mu.Lock()
	p.position = max(p.position, at)
	p.mu.Unlock()
	signal(p.wake)
}

// pending returns a conversation that is not written yet.
func (p *projector) pending(stream parley.Stream) (parley.Conversation, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.dirty[stream]
	return r.Conversation, ok
}

// rowOfNotes returns the row of c's notes, the zero one if c has none.
func (p *projector) rowOfNotes(ctx context.Context, c parley.Conversation) (parley.Conversation, error) {
	site := siteOfNotes(c.Site)
	if row, ok := p.pending(parley.MessagesOf(site, c.ID)); ok {
		return row, nil
	}
	return p.store.Conversation(ctx, site, c.ID)
}

func (p *projector) run() {
	for {
		select {
		case <-p.quit:
			return
		case <-p.wake:
		}
		select {
		case <-p.quit:
			return
		case <-time.After(projectInterval):
		}
		ctx, cancel := context.WithTimeout(context.Background(), projectTimeout)
		if err := p.flush(ctx); err != nil {
			p.log.Warn("conversation projection is behind", "error", err)
			p.followed(0) // wakes this loop again
		}
		cancel()
	}
}

// flush writes what is dirty. A row stays pending until it is written, so that
// a reader never sees an older one in between.
func (p *projector) flush(ctx context.Context) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.mu.Lock()
	writing, settings := maps.Clone(p.dirty), maps.Clone(p.settings)
	position := p.position
	clean := len(writing)+len(settings) == 0 && position <= p.saved
	p.mu.Unlock()
	if clean {
		return nil
	}
	rows := make([]parley.Conversation, 0, len(writing))
	for _, r := range writing {
		rows = append(rows, r.Conversation)
	}
	crash.At(crash.ProjectBegin)
	if err := p.writeRegisters(ctx, settings); err != nil {
		return err
	}
	if err := p.store.SaveConversations(ctx, rows, position); err != nil {
		return fmt.Errorf("save conversations: %w", err)
	}
	crash.At(crash.ProjectSaved)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.saved = position
	for stream, r := range writing {
		if p.dirty[stream].version == r.version {
			delete(p.dirty, stream)
		}
	}
	return nil
}

// recover projects what the log holds behind the saved position.
func (p *projector) recover(ctx context.Context, f *folds) error {
	saved, err := p.store.ProjectedTo(ctx)
	if err != nil {
		return err
	}
	p.saved = saved
	p.position = saved
	seen, marks := map[parley.Stream]bool{}, recovered{}
	var last *parley.Entry
	for {
		page, err := p.store.EntriesSince(ctx, saved-recoverMargin.Milliseconds(), last, recoverPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			if err := p.recoverMarks(ctx, f, marks); err != nil {
				return err
			}
			return p.flush(ctx)
		}
		for i := range page {
			marks.take(&page[i])
			if r, ok := registerOf(&page[i]); ok {
				p.set(r)
			}
			if err := p.recoverStream(ctx, f, page[i].Stream, seen); err != nil {
				return err
			}
		}
		last = &page[len(page)-1]
		p.position = max(p.position, last.At)
	}
}

// writeRegisters writes personal registers, before the position that they go with.
func (p *projector) writeRegisters(ctx context.Context, settings map[registerKey]parley.Register) error {
	if len(settings) == 0 {
		return nil
	}
	rows := make([]UserRegister, 0, len(settings))
	for key, r := range settings {
		rows = append(rows, UserRegister{Site: key.site, User: key.user, Register: r})
	}
	if err := p.store.SaveRegisters(ctx, rows); err != nil {
		return fmt.Errorf("save registers: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, r := range settings {
		if p.settings[key].Version == r.Version {
			delete(p.settings, key)
		}
	}
	return nil
}

func (p *projector) recoverStream(ctx context.Context, f *folds, stream parley.Stream, seen map[parley.Stream]bool) error {
	if seen[stream] {
		return nil
	}
	seen[stream] = true
	if site, id, ok := stream.NotedConversation(); ok {
		return p.recoverNotes(ctx, f, site, id)
	}
	site, id, ok := stream.Conversation()
	if !ok {
		return nil
	}
	saved, ok := p.pending(stream)
	if !ok {
		var err error
		if saved, err = p.store.Conversation(ctx, site, id); err != nil {
			return err
		}
	}
	c := saved
	c.Site, c.ID = site, id
	if err := f.readOn(ctx, &c); err != nil {
		return err
	}
	if c.Head > saved.Head {
		p.add(c)
	}
	if c.Control > saved.Control { // its notes may have changed hands
		return p.recoverNotes(ctx, f, site, id)
	}
	return nil
}

// recoverNotes makes the row of the notes about a conversation anew.
func (p *projector) recoverNotes(ctx context.Context, f *folds, site, id string) error {
	newest, err := p.store.ReadBefore(ctx, parley.NotesOf(site, id), math.MaxInt64, 1)
	if err != nil || len(newest) == 0 {
		return err
	}
	c, err := f.load(ctx, site, id)
	if err != nil {
		return err
	}
	if c.Exists() {
		p.add(rowOfNotes(c, newest[0].Seq, newest[0].At))
	}
	return nil
}
