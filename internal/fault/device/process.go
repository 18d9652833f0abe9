package device

import (
	"bufio"
	"context"
	_ "embed" // the script that plays our TypeScript client
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley/internal/fault/checker"
)

// Process is a device in a process of its own, which can be killed, and can
// live in a network namespace. It is safe for concurrent use.
type Process struct {
	Session *Session
	Journal checker.Journal

	part  Part
	cmd   *exec.Cmd
	in    io.WriteCloser
	ended chan struct{}

	asked   atomic.Int64 // messages it was told to send
	settled atomic.Int64

	mu    sync.Mutex
	shown map[string]int
	last  time.Time // when the newest entry was shown
	count int
}

//go:embed web.mjs
var webScript string

// Start starts a process that plays part: prefix and then the parley binary, or
// node for Web. client is the built TypeScript client, which only Web needs.
func Start(ctx context.Context, prefix []string, binary, client string, part Part) (*Process, error) {
	argv := append(append([]string{}, prefix...), binary, "fault", "device")
	if part.Kind == Web {
		argv = append(append([]string{}, prefix...), "node", "--no-warnings", "--experimental-websocket", "--input-type=module", "-e", webScript, client)
	}
	p := &Process{Session: part.Credentials.Session(), part: part, ended: make(chan struct{}), shown: map[string]int{}}
	p.cmd = exec.CommandContext(ctx, argv[0], argv[1:]...)
	p.cmd.WaitDelay = connectTimeout
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start device: %w", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start device: %w", err)
	}
	stderr := &tail{}
	p.cmd.Stderr = stderr
	line, err := json.Marshal(part)
	if err != nil {
		return nil, fmt.Errorf("start device: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start device: %w", err)
	}
	go p.read(out, stderr)
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		p.Kill()
		return nil, fmt.Errorf("start device: %w: %s", err, stderr)
	}
	return p, nil
}

// tail keeps the beginning of what a process complains about.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.text) < 4<<10 {
		t.text = append(t.text, b...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

func (p *Process) read(out io.Reader, stderr *tail) {
	defer close(p.ended)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxPacket)
	for lines.Scan() {
		var r checker.Record
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			_, _ = stderr.Write(append(lines.Bytes(), '\n')) // never fails
			continue
		}
		r.Device, r.User = p.Session.ClientID(), p.Session.User
		p.take(r)
	}
	_ = p.cmd.Wait() // a killed process is no error here
}

func (p *Process) take(r checker.Record) {
	p.Journal.Add(r)
	switch r.Event {
	case checker.Acked, checker.Refused:
		p.settled.Add(1)
	case checker.Shown:
		p.mu.Lock()
		p.shown[r.Conversation]++
		p.count++
		p.last = time.Now()
		p.mu.Unlock()
	}
}

// Send tells a publisher to write n more messages.
func (p *Process) Send(n int) error {
	p.asked.Add(int64(n))
	if _, err := fmt.Fprintf(p.in, "send %d\n", n); err != nil {
		return fmt.Errorf("tell device: %w", err)
	}
	return nil
}

// Pending is how many messages are not known to be settled.
func (p *Process) Pending() int { return int(p.asked.Load() - p.settled.Load()) }

// Acked is how many messages are known to be settled.
func (p *Process) Acked() int64 { return p.settled.Load() }

// Shown is how many entries of the conversation the device has shown.
func (p *Process) Shown(conversation string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown[conversation]
}

// Follow journals what the device is owed, as that of Subscriber.
func (p *Process) Follow(conversation string, after int64) {
	p.Journal.Add(checker.Record{
		Device: p.Session.ClientID(), User: p.Session.User, Event: checker.Follows, Conversation: conversation, Seq: after,
	})
}

// Records returns the journal, which nobody must change.
func (p *Process) Records() []checker.Record { return p.Journal.Records() }

// Repeated is 0: a process tells what it has shown, not what it dropped.
func (p *Process) Repeated() int { return 0 }

// Err tells whether the process has ended, with the beginning of what it
// complained about.
func (p *Process) Err() error {
	complaint := fmt.Sprint(p.cmd.Stderr)
	select {
	case <-p.ended:
		return errors.New("the device's process has ended: " + complaint)
	default:
	}
	if complaint != "" {
		return errors.New(complaint)
	}
	return nil
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // fails only if it is gone already
	<-p.ended
	p.in.Close()
}
