// Package database runs a server of MongoDB's protocol as a child process that can be
// killed, started again on the same data, and put into bad moods: FerretDB, of
// bridge/mongo/ferret, behind a proxy.
package database

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/parley-chat/parley/internal/fault/leash"
	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	set          = "rs" // the replica set that it says it is
	startPoll    = 5 * time.Millisecond
	startTimeout = 30 * time.Second
)

// Build compiles the database into dir and returns the path of the binary. It works
// anywhere in the source tree.
func Build(ctx context.Context, dir string) (string, error) {
	tree, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/parley-chat/parley").Output()
	if err != nil {
		return "", fmt.Errorf("find the source tree: %w", err)
	}
	binary := filepath.Join(dir, "ferretd")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./ferretd")
	cmd.Dir = filepath.Join(strings.TrimSpace(string(tree)), "bridge", "mongo", "ferret")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the database: %w\n%s", err, out)
	}
	return binary, nil
}

// Database is a child process. Its methods are for one goroutine.
type Database struct {
	binary, folder, addr string

	cmd    *exec.Cmd
	exited <-chan struct{} // closed when the process is gone and waited for
	moods  io.WriteCloser
	said   *bufio.Reader
}

// New prepares a database with its data in folder; it starts nothing.
func New(ctx context.Context, binary, folder string) (*Database, error) {
	addr, err := server.FreeAddr(ctx, "127.0.0.1")
	if err != nil {
		return nil, err
	}
	return &Database{binary: binary, folder: folder, addr: addr}, nil
}

// URI is where the database of that name is, over all restarts.
func (d *Database) URI(name string) string { return "mongodb://" + d.addr + "/" + name }

// Start starts the process and returns when it accepts connections.
func (d *Database) Start(ctx context.Context) error {
	if err := os.MkdirAll(d.folder, 0o700); err != nil {
		return fmt.Errorf("start the database: %w", err)
	}
	cmd := exec.Command(d.binary, "--listen", d.addr, "--data", d.folder, "--set", set)
	cmd.Stderr = os.Stderr
	moods, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start the database: %w", err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start the database: %w", err)
	}
	exited, err := leash.Start(cmd)
	if err != nil {
		return fmt.Errorf("start the database: %w", err)
	}
	d.cmd, d.exited, d.moods, d.said = cmd, exited, moods, bufio.NewReader(said)
	return d.await(ctx)
}

// await polls until the database accepts connections.
func (d *Database) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for tick := time.NewTicker(startPoll); ; {
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, "tcp", d.addr)
		if err == nil {
			tick.Stop()
			return c.Close()
		}
		select {
		case <-d.exited:
			return errors.New("start the database: it ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("start the database: %w", err)
		case <-tick.C:
		}
	}
}

// Kill ends the process with SIGKILL and waits until it is gone. Killing what does not
// run does nothing.
func (d *Database) Kill() {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Kill() // fails only if it is gone already
	<-d.exited
	d.cmd = nil
}

// Turn puts a database that runs into a mood, see ferretd/moods.go, and returns when
// that holds. One that is started again is fine.
func (d *Database) Turn(mood string) error {
	if _, err := fmt.Fprintln(d.moods, mood); err != nil {
		return fmt.Errorf("turn the database to %q: %w", mood, err)
	}
	answer, err := d.said.ReadString('\n')
	if err != nil {
		return fmt.Errorf("turn the database to %q: %w", mood, err)
	}
	if answer = strings.TrimSpace(answer); answer != "ok" {
		return fmt.Errorf("turn the database to %q: %s", mood, answer)
	}
	return nil
}
