package broker

import (
	"context"
	"log/slog"
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

	mu    sync.Mutex
	dirty map[*session]struct{}

	quit chan struct{}
	done sync.WaitGroup
}

func newCursorSaver(store Sessions, log *slog.Logger) *cursorSaver {
	return &cursorSaver{store: store, log: log, dirty: map[*session]struct{}{}, quit: make(chan struct{})}
}

func (cs *cursorSaver) start() { cs.done.Go(cs.run) }

func (cs *cursorSaver) stop() {
	close(cs.quit)
	cs.done.Wait()
}

// moved notes that a cursor of s has moved.
func (cs *cursorSaver) moved(s *session) {
	if !s.persistent {
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
	cs.mu.Lock()
	sessions := cs.dirty
	cs.dirty = map[*session]struct{}{}
	cs.mu.Unlock()
	var saves []parley.CursorSave
	for s := range sessions {
		saves = append(saves, s.pump.movedCursors()...)
	}
	cs.save(saves)
}

// flush saves what s has moved, before its connection is forgotten.
func (cs *cursorSaver) flush(s *session) {
	cs.mu.Lock()
	delete(cs.dirty, s)
	cs.mu.Unlock()
	if s.persistent {
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
		cs.log.Warn("cursors not saved; deliveries may repeat after a restart", "cursors", len(saves), "error", err)
	}
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
