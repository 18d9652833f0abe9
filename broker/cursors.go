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
	minCursorRest = 50 * time.Millisecond
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
	if !s.keeps() || s.noted.Swap(true) {
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
		s.noted.Store(false) // what moves from now on is of the next save
		saves = append(saves, s.movedCursors(seenStep)...)
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
	if !s.keeps() {
		return
	}
	cs.keep(s.movedCursors(1))
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

// keep remembers saves for the next time. One that has just failed may be older
// than what a connection has handed in meanwhile.
func (cs *cursorSaver) keep(saves []parley.CursorSave) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, save := range saves {
		key := cursorKey{save.Device, save.Cursor.Stream}
		if old, ok := cs.failed[key]; !ok || !supersedes(old, save) {
			cs.failed[key] = save
		}
	}
}

// supersedes reports whether a save of a cursor is newer than another one.
func supersedes(one, other parley.CursorSave) bool {
	if one.Generation != other.Generation {
		return one.Generation > other.Generation
	}
	return one.Cursor.Epoch == other.Cursor.Epoch && (one.Cursor.Seq > other.Cursor.Seq || one.Seen > other.Seen)
}

// drop forgets what was about to be saved of streams that the device has no
// subscription for any more.
func (cs *cursorSaver) drop(s *session, left func(parley.Stream) bool) {
	cs.saving.Lock()
	defer cs.saving.Unlock()
	cs.mu.Lock()
	maps.DeleteFunc(cs.failed, func(key cursorKey, _ parley.CursorSave) bool {
		return key.device == s.device && left(key.stream)
	})
	cs.mu.Unlock()
	s.pump.mu.Lock()
	defer s.pump.mu.Unlock()
	s.pump.departed = slices.DeleteFunc(s.pump.departed, func(save parley.CursorSave) bool {
		return left(save.Cursor.Stream)
	})
}

// seenStep is how far parley.CursorSave.Seen rises before it is saved, in
// milliseconds, while the connection lasts.
const seenStep = 5000

// movedCursors takes the cursors that moved since the last call, and with them
// what the device has seen, if that rose by step at least.
func (s *session) movedCursors(step int64) []parley.CursorSave {
	seen := s.seen()
	saves := s.pump.movedCursors()
	s.mu.Lock()
	defer s.mu.Unlock()
	if seen >= s.seenSaved+step {
		s.seenSaved = seen
		saves = append(saves, parley.CursorSave{Device: s.device, Generation: s.generation, Seen: seen})
	}
	return saves
}

// seen returns the server time up to which the device has everything that its
// membership filters deliver, 0 if that is not known now.
func (s *session) seen() int64 {
	position := s.broker.hub.position.Load() // first: what comes later is not part of the answer
	s.mu.Lock()
	attaching := s.attaching
	s.mu.Unlock()
	if attaching > 0 {
		return 0
	}
	return min(position, s.pump.behind(position))
}

// behind returns the server time from which the device may lack something, or
// position if it lacks nothing.
func (p *pump) behind(position int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	oldest := position
	for _, src := range p.sources {
		if src.held {
			return 0
		}
		if src.behind > 0 {
			oldest = min(oldest, src.behind)
		}
	}
	if p.states.behind > 0 {
		oldest = min(oldest, p.states.behind)
	}
	return oldest
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

// parted returns the cursor of a detached source and keeps it to be saved. There
// is none if the source never had to know it.
func (p *pump) parted(src *source) (cursor parley.Cursor, placed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !src.placed {
		return parley.Cursor{}, false
	}
	save := src.save()
	p.departed = append(p.departed, save)
	return save.Cursor, true
}

func (src *source) save() parley.CursorSave {
	s := src.pump.session
	return parley.CursorSave{Device: s.device, Generation: s.generation, Cursor: s.cursor(src.stream, src.acked)}
}
