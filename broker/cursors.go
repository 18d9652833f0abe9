package broker

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/parley-chat/parley"
)

// cursorInterval is how long an acknowledgement waits to be saved. A crash
// repeats at most what was acknowledged in it; it never skips.
const cursorInterval = 250 * time.Millisecond

// cursorSaver writes moved cursors of all connections together.
type cursorSaver struct {
	store Sessions
	log   *slog.Logger

	mu     sync.Mutex
	dirty  map[*session]struct{}
	failed map[cursorKey]parley.CursorSave // saves that failed; tried again with the next

	saving sync.Mutex // one save at a time: what was taken is stored before its device goes on

	quit chan struct{}
	done sync.WaitGroup
}

// cursorKey names a cursor of a device.
type cursorKey struct {
	device string
	stream parley.Stream
}

func newCursorSaver(store Sessions, log *slog.Logger) *cursorSaver {
	return &cursorSaver{
		store: store, log: log, dirty: map[*session]struct{}{}, failed: map[cursorKey]parley.CursorSave{},
		quit: make(chan struct{}),
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
}

func (cs *cursorSaver) run() {
	tick := time.NewTicker(cursorInterval)
	defer tick.Stop()
	for {
		select {
		case <-cs.quit:
			cs.saveAll()
			return
		case <-tick.C:
			cs.saveAll()
		}
	}
}

func (cs *cursorSaver) saveAll() {
	cs.saving.Lock()
	defer cs.saving.Unlock()
	cs.mu.Lock()
	sessions := cs.dirty
	cs.dirty = map[*session]struct{}{}
	saves := slices.Collect(maps.Values(cs.failed))
	clear(cs.failed)
	cs.mu.Unlock()
	for s := range sessions {
		saves = append(saves, s.pump.movedCursors()...)
	}
	cs.save(saves)
}

// flush saves what s has moved, before its connection is forgotten.
func (cs *cursorSaver) flush(s *session) {
	cs.saving.Lock()
	defer cs.saving.Unlock()
	cs.mu.Lock()
	delete(cs.dirty, s)
	cs.mu.Unlock()
	if s.persistent.Load() {
		cs.save(s.pump.movedCursors())
	}
}

func (cs *cursorSaver) save(saves []parley.CursorSave) {
	if len(saves) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), sessionTime)
	defer cancel()
	if err := cs.store.SaveCursors(ctx, saves); err != nil {
		cs.log.Warn("cursors not saved; deliveries may repeat until they are", "cursors", len(saves), "error", err)
		cs.keep(saves)
	}
}

// keep remembers saves that failed.
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
