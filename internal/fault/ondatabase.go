package fault

import (
	"context"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley/internal/fault/database"
	"github.com/parley-chat/parley/internal/fault/server"
)

// onDatabase makes a row with servers that have their store in a database of MongoDB's
// protocol, which is a child process, too.
func onDatabase(run func(context.Context, *Lab) error) func(context.Context, *Lab) error {
	return func(ctx context.Context, l *Lab) (err error) {
		if l.store, err = database.New(ctx, l.Database, filepath.Join(l.Folder, "database")); err != nil {
			return err
		}
		if err := l.store.Start(ctx); err != nil {
			return err
		}
		defer l.store.Kill()
		return run(ctx, l)
	}
}

// storeKill kills the database, the server or both in each round, and starts in any
// order what is gone.
func storeKill(ctx context.Context, l *Lab) error {
	return l.loop(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		both := w.random.IntN(3)
		if both > 0 {
			w.server.Kill()
		}
		if both < 2 {
			w.store.Kill()
		}
		first := w.random.IntN(2) == 0 && both > 0
		if first {
			if err := w.server.Launch(); err != nil {
				return err
			}
		}
		if err := sleep(ctx, w.below(time.Second)); err != nil {
			return err
		}
		if both < 2 {
			if err := w.store.Start(ctx); err != nil {
				return err
			}
		}
		return w.awaitBack(ctx)
	})
}

// awaitBack waits until a server whose store is there is ready, and measures how long
// that takes. One that is gone is started, which is what a supervisor does.
func (w *world) awaitBack(ctx context.Context) error {
	began := time.Now()
	err := await(ctx, w.patient(drainTimeout), func() string {
		select {
		case <-w.server.Exited():
			w.result.count("started", 1)
			if err := w.server.Launch(); err != nil {
				return err.Error()
			}
		default:
		}
		if !w.server.Ready(ctx) {
			return "the server is not ready"
		}
		return ""
	})
	w.result.took("ready max", time.Since(began), 5*time.Second)
	return err
}

// storeErrors lets one write in ten go wrong, in every way there is, from the first
// message on. Servers are started without: one that cannot make its indexes says so and ends.
func storeErrors(ctx context.Context, l *Lab) error {
	l.mood = "stumble 0.1"
	return l.loop(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		return w.drain(ctx)
	})
}

// inMood calls act with the database in the mood of the row, in which it stays: until
// the next server is started.
func (w *world) inMood(ctx context.Context, act func(context.Context, *world) error) error {
	if w.mood != "" {
		if err := w.store.Turn(w.mood); err != nil {
			return err
		}
	}
	return act(ctx, w)
}
