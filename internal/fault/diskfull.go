package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	stallTime    = 700 * time.Millisecond // without an acknowledgement: the server writes no more
	resumedLimit = 5 * time.Second
	longMessage  = 50_000 // bytes
	longMessages = 50     // of them do not fit into a segment of the journal
)

// diskFull fills the server's disk in each round, until nothing is acknowledged any
// more, looks whether what is stored can be read, and makes room again. In half of the
// rounds the server is killed on the full disk, and starts on it.
func diskFull(ctx context.Context, l *Lab) error {
	folder := filepath.Join(l.Folder, "small")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return fmt.Errorf("make a small disk: %w", err)
	}
	size := 24 + l.Rounds*2 // MiB: what is written stays
	if err := syscall.Mount("parley-fault", folder, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		return fmt.Errorf("make a small disk: %w (this needs root)", err)
	}
	defer func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) }() // in the way of nobody
	data := filepath.Join(folder, "data")
	return l.within(ctx, server.Config{Data: data}, func(ctx context.Context, w *world) error {
		if err := w.crew(ctx, bothReaders[:], everyKind[:], 50); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		for n := range w.Rounds {
			if err := w.fullRound(ctx, filepath.Join(folder, "ballast"), n%2 == 1); err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
		}
		w.server.Kill()
		return w.restart(ctx) // which looks at all files
	})
}

func (w *world) fullRound(ctx context.Context, ballast string, kill bool) error {
	if err := w.load(ctx, 100); err != nil {
		return err
	}
	if err := fill(ballast); err != nil {
		return err
	}
	if err := w.awaitStall(ctx, func() error { return fill(ballast) }); err != nil {
		return err
	}
	if kill {
		w.server.Kill()
		if err := w.server.Launch(); err != nil {
			return err
		}
		// It may say that it cannot start here, or start and serve what it has.
		started, cancel := context.WithTimeout(ctx, stallTime)
		err := w.server.AwaitReady(started)
		cancel()
		w.Log.Debug("started on a full disk", "err", err)
	} else {
		w.lookAtRefusal(ctx, "no space")
		if w.server.Ready(ctx) {
			w.result.problem("a server says that it is ready on a full disk")
		}
	}
	acked := w.acked()
	if err := os.Remove(ballast); err != nil {
		return fmt.Errorf("make room: %w", err)
	}
	if err := w.awaitResumed(ctx, acked); err != nil {
		return err
	}
	return w.drain(ctx)
}

// awaitResumed waits until something is acknowledged again. A server that has given
// up is started again, which is what a supervisor does.
func (w *world) awaitResumed(ctx context.Context, acked int64) error {
	began := time.Now()
	err := await(ctx, drainTimeout, func() string {
		select {
		case <-w.server.Exited():
			w.result.count("started again", 1)
			if err := w.server.Start(ctx); err != nil {
				return err.Error()
			}
		default:
		}
		if w.acked() == acked {
			return fmt.Sprintf("nothing is acknowledged any more: %s", w.trouble())
		}
		return ""
	})
	w.result.took("resumed max", time.Since(began), resumedLimit)
	return err
}

// awaitStall writes until nothing is acknowledged for a while.
func (w *world) awaitStall(ctx context.Context, again func() error) error {
	acked, since := w.acked(), time.Now()
	return await(ctx, drainTimeout, func() string {
		if now := w.acked(); now != acked {
			acked, since = now, time.Now()
			if err := again(); err != nil {
				return err.Error()
			}
		}
		if w.pending() < 100 {
			w.write(50)
		}
		if time.Since(since) < stallTime {
			return "messages are acknowledged still"
		}
		return ""
	})
}

// lookAtRefusal finds out whether a server that cannot write reads, and says why it
// does not write.
func (w *world) lookAtRefusal(ctx context.Context, why string) {
	acked := w.acked()
	for _, s := range w.streams {
		if _, err := w.rest.Entries(ctx, s.owner, s.conversation); err != nil {
			w.result.problem("what is stored cannot be read: %v", err)
			break
		}
	}
	w.expectRefusal(ctx, acked, why)
}

// expectRefusal writes long messages by REST until one is refused, and looks at the
// words: what little room there is in a file may take a few.
func (w *world) expectRefusal(ctx context.Context, acked int64, why string) {
	p := w.publishers[0]
	var err error
	for range longMessages {
		d := parley.NewText(parley.NewID(parley.PrefixMessage), strings.Repeat("long ", longMessage/5))
		r := record{Device: p.Session.ClientID() + " by REST", User: p.Session.User, Event: checker.Sent, Conversation: p.Conversation, ID: d.ID, Type: d.Type, Body: d.Body}
		w.journal.Add(r)
		if r.Seq, err = w.rest.Say(ctx, p.Session, p.Conversation, d); err != nil {
			break
		}
		r.Event = checker.Acked
		w.journal.Add(r)
	}
	if refusal := (*parley.Error)(nil); !errors.As(err, &refusal) || refusal.Code != parley.CodeUnavailable || refusal.Message == "" {
		w.result.problem("a server that cannot write (%s) says: %v", why, err)
	}
	if now := w.acked(); now != acked {
		w.result.problem("%d messages were acknowledged by a server that cannot write (%s)", now-acked, why)
	}
}

// fill writes a file, or makes it larger, until the disk is full.
func fill(name string) (err error) {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				return fmt.Errorf("fill the disk: %w", err)
			}
			size /= 16
		}
	}
	return nil
}

// badFsync makes every fsync fail in each round, and what it was about vanish with
// the next power cut: who tries an fsync again and believes it loses messages. In half
// of the rounds the power is cut before the disk works again, else afterwards.
func badFsync(ctx context.Context, l *Lab) error {
	d, err := l.disk(ctx)
	if err != nil {
		return err
	}
	defer d.end()
	return l.within(ctx, server.Config{Data: d.mounted}, func(ctx context.Context, w *world) error {
		if err := w.crew(ctx, bothReaders[:], everyKind[:], 50); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		for n := range w.Rounds {
			if err := w.fsyncRound(ctx, d, n%2 == 0); err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
		}
		return nil
	})
}

func (w *world) fsyncRound(ctx context.Context, d *powered, cutFirst bool) error {
	if err := w.load(ctx, 100); err != nil {
		return err
	}
	if err := d.fail(true); err != nil {
		return err
	}
	if err := w.awaitStall(ctx, func() error { return nil }); err != nil {
		return err
	}
	acked := w.acked()
	if err := sleep(ctx, stallTime); err != nil {
		return err
	}
	if now := w.acked(); now != acked {
		w.result.problem("%d messages were acknowledged while every fsync fails", now-acked)
	}
	if cutFirst {
		w.server.Kill()
	}
	if err := d.fail(false); err != nil {
		return err
	}
	if !cutFirst {
		if err := w.awaitResumed(ctx, acked); err != nil {
			return err
		}
		if err := w.load(ctx, 100); err != nil {
			return err
		}
		w.server.Kill()
	}
	lost, err := d.cut(w.random.Uint64())
	if err != nil {
		return err
	}
	w.result.count("writes lost", lost)
	if err := w.server.Start(ctx); err != nil {
		return err
	}
	return w.drain(ctx)
}

// prlimit is the command line that lets a server have so many files and sockets.
func prlimit(files int) ([]string, error) {
	path, err := exec.LookPath("prlimit")
	if err != nil {
		return nil, fmt.Errorf("limit files: %w (apt-get install -y util-linux)", err)
	}
	return []string{path, fmt.Sprintf("--nofile=%d:%d", files, files)}, nil
}
