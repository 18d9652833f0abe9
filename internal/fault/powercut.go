package fault

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/parley-chat/parley/internal/fault/server"
)

// powerCut kills the server in each round, takes back what it has written and
// not made durable, and starts it on what is left.
func powerCut(ctx context.Context, l *Lab) error {
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
			if err := w.load(ctx, 100); err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
			w.server.Kill()
			lost, err := d.cut(w.random.Uint64())
			if err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
			w.result.count("unsynced writes lost", lost)
			if err := w.server.Start(ctx); err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
			w.result.took("ready max", w.server.ReadyIn(), 0) // through a disk that is slow
		}
		return nil
	})
}

// powered is a disk, in a process of its own, that can lose power.
type powered struct {
	mounted string
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
}

func (l *Lab) disk(ctx context.Context) (*powered, error) {
	below := filepath.Join(l.Folder, "below")
	d := &powered{mounted: filepath.Join(l.Folder, "mounted")}
	for _, folder := range []string{below, d.mounted} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			return nil, fmt.Errorf("make a disk: %w", err)
		}
	}
	d.cmd = exec.CommandContext(ctx, l.FaultBinary, "fault", "disk", below, d.mounted)
	var complaint strings.Builder
	d.cmd.Stderr = &complaint
	var err error
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("make a disk: %w", err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("make a disk: %w", err)
	}
	d.out = bufio.NewScanner(out)
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("make a disk: %w", err)
	}
	if !d.out.Scan() {
		d.end()
		return nil, fmt.Errorf("make a disk: %s", complaint.String())
	}
	return d, nil
}

func (d *powered) cut(seed uint64) (lost int, err error) { return d.tell("cut", seed) }

// fail makes every fsync fail, or work again.
func (d *powered) fail(failing bool) error {
	number := uint64(0)
	if failing {
		number = 1
	}
	_, err := d.tell("fail", number)
	return err
}

func (d *powered) tell(word string, number uint64) (answer int, err error) {
	if _, err := fmt.Fprintf(d.in, "%s %d\n", word, number); err != nil {
		return 0, fmt.Errorf("tell the disk: %w", err)
	}
	if !d.out.Scan() {
		return 0, fmt.Errorf("tell the disk: %w", io.ErrUnexpectedEOF)
	}
	return strconv.Atoi(d.out.Text())
}

func (d *powered) end() {
	d.in.Close()
	_ = d.cmd.Wait()                                   // unmounted, if it could
	_ = syscall.Unmount(d.mounted, syscall.MNT_DETACH) // if not
}
