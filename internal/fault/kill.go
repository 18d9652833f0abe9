package fault

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// batch is how many messages each writer adds in a round of the loops.
func (l *Lab) batch() int {
	switch {
	case l.store == nil:
		return 300
	case l.Soak:
		return 30 // that database reads everything to find anything
	default:
		return 10
	}
}

// everyKind are the clients that write; mosquitto_pub, a process for each
// message, is where few messages will do.
var everyKind = [...]device.Kind{device.Raw5, device.Paho, device.Raw311, device.Tunnelled}

// bothReaders are an agent's devices.
var bothReaders = [...]device.Kind{device.Raw5, device.Paho}

// killLoop ends the server with SIGKILL in each round and starts it again on
// the same data; in one round of five it is killed once more while it starts.
func killLoop(ctx context.Context, l *Lab) error {
	return l.loop(ctx, server.Config{}, killAndStart(readyLimit))
}

// killAndStart returns what kills a server and starts it again, in a time.
func killAndStart(limit time.Duration) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		w.server.Kill()
		if w.random.IntN(5) == 0 {
			if err := w.server.Launch(); err != nil {
				return err
			}
			if err := sleep(ctx, w.below(100*time.Millisecond)); err != nil {
				return err
			}
			w.server.Kill()
		}
		return w.restartWithin(ctx, limit)
	}
}

// killMillion is killLoop on a history that has been written in its last ten minutes,
// which a server that starts looks through once more.
func killMillion(ctx context.Context, l *Lab) error {
	messages := 10_000
	if l.Soak {
		messages = 1_000_000
	}
	data := filepath.Join(l.Folder, "history")
	fill := exec.CommandContext(ctx, l.Binary, "bench", "fill", "--data", data, "--messages", strconv.Itoa(messages))
	if out, err := fill.CombinedOutput(); err != nil {
		return fmt.Errorf("write %d messages: %w: %s", messages, err, out)
	}
	l.result.count("messages before", messages)
	return l.loop(ctx, server.Config{Data: data}, killAndStart(30*time.Second))
}

// readyLimit is how long a server may take to be ready.
const readyLimit = 5 * time.Second

// restart starts the server and measures how long that takes.
func (w *world) restart(ctx context.Context) error { return w.restartWithin(ctx, readyLimit) }

func (w *world) restartWithin(ctx context.Context, limit time.Duration) error {
	if err := w.server.Start(ctx); err != nil {
		return err
	}
	w.result.took("ready max", w.server.ReadyIn(), limit)
	return nil
}

// stretch is how many rounds of a loop one world sees. A database that reads everything to
// find anything would be slower with each, until nothing is measured but that.
func (l *Lab) stretch() int {
	if l.store == nil {
		return l.Rounds
	}
	return 8
}

// loop does something bad again and again while visitors write and an agent's
// two devices read.
func (l *Lab) loop(ctx context.Context, config server.Config, harm func(context.Context, *world) error) error {
	for done := 0; done < l.Rounds; done += l.stretch() {
		if err := l.rounds(ctx, config, done, min(done+l.stretch(), l.Rounds), harm); err != nil {
			return err
		}
	}
	return nil
}

// rounds makes some rounds of a loop in a world of their own.
func (l *Lab) rounds(ctx context.Context, config server.Config, from, to int, harm func(context.Context, *world) error) error {
	if l.mood != "" {
		if err := l.store.Turn("fine"); err != nil {
			return err
		}
	}
	return l.within(ctx, config, func(ctx context.Context, w *world) error {
		return w.inMood(ctx, func(ctx context.Context, w *world) error { return w.repeat(ctx, from, to, harm) })
	})
}

func (w *world) repeat(ctx context.Context, from, to int, harm func(context.Context, *world) error) error {
	if err := w.crew(ctx, bothReaders[:], everyKind[:], 50); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	for n := from; n < to; n++ {
		err := w.load(ctx, w.batch())
		if err == nil {
			err = harm(ctx, w)
		}
		if err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
		w.Log.Debug("round made", "round", n+1, "acked", w.acked())
	}
	return nil
}

// cutLoop harms the network between the devices and the server in each round:
// connections are reset, reset right behind a PUBLISH, reset in the middle of a
// packet, or frozen for a moment.
func cutLoop(ctx context.Context, l *Lab) error {
	return l.loop(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		if w.random.IntN(2) == 0 {
			w.web.Cut()
		}
		switch w.random.IntN(4) {
		case 0:
			w.cable.Cut()
		case 1:
			w.cable.CutAfterPublish()
		case 2:
			w.cable.CutAfter(w.random.Int64N(20_000))
		default:
			w.cable.Freeze()
			defer w.cable.Heal()
			return sleep(ctx, w.below(100*time.Millisecond))
		}
		return nil
	})
}

// sigterm stops the server while hundreds of messages are in flight.
func sigterm(ctx context.Context, l *Lab) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		kinds := make([]device.Kind, 10) // of which each may have 50 under way
		for i := range kinds {
			kinds[i] = everyKind[i%len(everyKind)]
		}
		if err := w.crew(ctx, bothReaders[:], kinds, 50); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		for range w.Rounds {
			if err := w.load(ctx, 200); err != nil {
				return err
			}
			w.stop(ctx)
			if err := w.restart(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// stop ends the server with SIGTERM and measures how long that takes.
func (w *world) stop(ctx context.Context) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := w.server.Stop(ctx); err != nil {
		w.result.problem("%v", err)
	}
	w.result.took("stop max", time.Since(began), 10*time.Second)
}

// publishCut resets a connection right behind a PUBLISH in each round, so that
// its acknowledgement never arrives.
func publishCut(ctx context.Context, l *Lab) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		if err := w.crew(ctx, bothReaders[:], everyKind[:], 20); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		for range w.Rounds {
			accepted := w.cable.Accepted()
			w.cable.CutAfterPublish()
			w.write(5)
			err := await(ctx, w.patient(roundTimeout), func() string {
				if w.cable.Accepted() == accepted {
					return "nobody came back after a cut"
				}
				return ""
			})
			if err != nil {
				return err
			}
			began := time.Now()
			if err := w.drain(ctx); err != nil {
				return err
			}
			w.result.took("outbox empty max", time.Since(began), 5*time.Second)
		}
		return nil
	})
}
