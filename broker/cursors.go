package broker

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// How long the saver rests between two saves: in proportion to what it saved, so
// that cursors never take more than a small part of what the store can write. A
// crash repeats at most what was acknowledged in that time; it never skips.
const (
	minCursorRest = 20 * time.Millisecond
	maxCursorRest = 250 * time.Millisecond
	restPerCursor = 250 * time.Microsecond
)

// cursorSaver writes moved cursors of all connections together.
type cursorSaver struct {
	store Sessions
	log   *slog.Logger

	mu     sync.Mutex
	dirty  map[*session]struct{}
	failed map[cursorKey]parley.CursorSave // saves that failed or that somebody handed in; made with the next

	saving sync.Mutex // one save at a time: what was taken is stored before its device goes on

	next   chan struct{} // closed when the next save to begin has ended; guarded by mu
	wake   chan struct{} // holds one: something has moved
	urgent chan struct{} // holds one: somebody waits
	quit   chan struct{}
	done   sync.WaitGroup
}

// cursorKey names a cursor of a device.
type cursorKey struct {
	device string
	stream parley.Stream
}

func newCursorSaver(store Sessions, log *slog.Logger) *cursorSaver {
	return &cursorSaver{
		store: store, log: log, dirty: map[*session]struct{}{}, failed: map[cursorKey]parley.CursorSave{},
		next: make(chan struct{}), wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), quit: make(chan struct{}),
	}
}

func (cs *cursorSaver) start() { cs.done.Go(cs.run) }

func (cs *cursorSaver) stop() {
	close(cs.quit)
	cs.done.Wait()
}

// moved notes that a cursor of s has moved.
func (cs *cursorSaver) moved(s *session) {
	if !s.persistent.Load() {
		return
	}
	cs.mu.Lock()
	cs.dirty[s] = struct{}{}
	cs.mu.Unlock()
	cs.stir()
}

// stir makes run save.
func (cs *cursorSaver) stir() {
	select {
	case cs.wake <- struct{}{}:
	default:
	}
}

// run saves as soon as something has moved, and then rests.
func (cs *cursorSaver) run() {
	for {
		saved := 0
		select {
		case <-cs.quit:
			cs.saveAll()
			return
		case <-cs.wake:
			saved = cs.saveAll()
		}
		select {
		case <-cs.quit:
		case <-cs.urgent:
			cs.stir()
		case <-time.After(min(max(minCursorRest, time.Duration(saved)*restPerCursor), maxCursorRest)):
		}
	}
}

func (cs *cursorSaver) saveAll() (saved int) {
	cs.saving.Lock()
	defer cs.saving.Unlock()
	cs.mu.Lock()
	done := cs.next
	cs.next = make(chan struct{})
	defer close(done)
	sessions := cs.dirty
	cs.dirty = map[*session]struct{}{}
	saves := slices.Collect(maps.Values(cs.failed))
	clear(cs.failed)
	cs.mu.Unlock()
	for s := range sessions {
		saves = append(saves, s.pump.movedCursors()...)
	}
	cs.save(saves)
	return len(saves)
}

// flush hands what s has moved to the saver and waits for its next save, before
// the connection is forgotten. Many that end together wait for one save.
func (cs *cursorSaver) flush(s *session) {
	cs.mu.Lock()
	delete(cs.dirty, s)
	cs.mu.Unlock()
	if !s.persistent.Load() {
		return
	}
	cs.keep(s.pump.movedCursors())
	cs.mu.Lock()
	saved := cs.next
	cs.mu.Unlock()
	cs.stir()
	select {
	case cs.urgent <- struct{}{}:
	default:
	}
	select {
	case <-saved:
	case <-time.After(sessionTime):
	}
}

func (cs *cursorSaver) save(saves []parley.CursorSave) {
	if len(saves) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), sessionTime)
	defer cancel()
	crash.At(crash.CursorsBegin)
	defer crash.At(crash.CursorsSaved)
	if err := cs.store.SaveCursors(ctx, saves); err != nil {
		cs.log.Warn("cursors not saved; deliveries may repeat until they are", "cursors", len(saves), "error", err)
		cs.keep(saves)
		cs.stir()
	}
}

// keep remembers saves for the next time.
func (cs *cursorSaver) keep(saves []parley.CursorSave) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, save := range saves {
		key := cursorKey{save.Device, save.Cursor.Stream}
		if old, ok := cs.failed[key]; !ok || old.Generation <= save.Generation {
			cs.failed[key] = save
		}
	}
}

// drop forgets what was about to be saved of streams that the device has no
// subscription for any more.
func (cs *cursorSaver) drop(s *session, streams []parley.Stream) {
	cs.saving.Lock()
	defer cs.saving.Unlock()
	cs.mu.Lock()
	for _, stream := range streams {
		delete(cs.failed, cursorKey{s.device, stream})
	}
	cs.mu.Unlock()
	s.pump.mu.Lock()
	defer s.pump.mu.Unlock()
	s.pump.departed = slices.DeleteFunc(s.pump.departed, func(save parley.CursorSave) bool {
		return slices.Contains(streams, save.Cursor.Stream)
	})
}

// movedCursors takes the cursors that moved since the last call.
func (p *pump) movedCursors() []parley.CursorSave {
	p.mu.Lock()
	defer p.mu.Unlock()
	saves := p.departed
	p.departed = nil
	for _, src := range p.sources {
		if src.dirty {
			src.dirty = false
			saves = append(saves, src.save())
		}
	}
	return saves
}

// parted returns the cursor of a detached source and keeps it to be saved.
func (p *pump) parted(src *source) parley.Cursor {
	p.mu.Lock()
	defer p.mu.Unlock()
	save := src.save()
	p.departed = append(p.departed, save)
	return save.Cursor
}

func (src *source) save() parley.CursorSave {
	s := src.pump.session
	return parley.CursorSave{Device: s.device, Generation: s.generation, Cursor: s.cursor(src.stream, src.acked)}
}
