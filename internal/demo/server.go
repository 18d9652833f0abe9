package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyPoll    = 5 * time.Millisecond
	readyTimeout = 30 * time.Second
	stopTimeout  = 15 * time.Second // above the server's own bound
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	logTail      = 2000 // bytes of the log that an error shows
)

// server is the child process `parley serve`, started again whenever it ends.
type server struct {
	command []string
	env     []string
	url     string
	log     *os.File
	logFrom int64 // where the log of this run begins
	probe   *http.Client
	changed func(serverEvent) // called without locks held

	mu      sync.Mutex
	now     serverStatus
	process *os.Process // nil while there is none
}

// serverStatus is what the page shows of the server.
type serverStatus struct {
	Up     bool `json:"up"`
	PID    int  `json:"pid"`    // 0 while there is no process
	Starts int  `json:"starts"` // since the demo began
	// BackAfter is how long the server was away the last time, in milliseconds:
	// from its end to ready. 0 before the first time.
	BackAfter int64 `json:"backAfter"`
}

// serverEvent is a turn in the child's life that a person wants to know.
type serverEvent struct {
	back  bool // ready again; otherwise gone
	pid   int
	how   string        // gone: how it ended
	after time.Duration // back: how long it was away
}

func newServer(o Options, env []string) (*server, error) {
	name := filepath.Join(o.Data, ownFolder, logFile)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, fmt.Errorf("make folder of the server log: %w", err)
	}
	log, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open server log: %w", err)
	}
	end, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open server log: %w", err), log.Close())
	}
	return &server{
		command: []string{o.Executable, "serve", "--data", o.Data, "--http", o.HTTP, "--mqtt", o.MQTT, "--metrics", o.Metrics},
		env:     env,
		url:     "http://" + o.HTTP,
		log:     log, logFrom: end,
		probe: &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}, nil
}

func (s *server) status() serverStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// kill ends the process with SIGKILL and returns its id, 0 if there was none.
func (s *server) kill() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	_ = s.process.Kill() // fails only if it is gone already
	return s.process.Pid
}

// run keeps the server running until ctx ends, and then stops it. The first
// start answers on ready; if it fails, run returns.
func (s *server) run(ctx context.Context, ready chan<- error) {
	// On Linux the kernel ends the child when the thread that started it ends:
	// this thread has to live as long as we do.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var gone time.Time
	for pause := firstPause; ; {
		up, err := s.live(ctx, gone, ready)
		if ctx.Err() != nil {
			return
		}
		if ready != nil && !up {
			ready <- fmt.Errorf("the server did not start: %w\n%s", err, s.tail())
			return
		}
		ready = nil
		if up {
			gone, pause = time.Now(), firstPause
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			pause = min(2*pause, longestPause)
		}
	}
}

// live starts the process and returns when it has ended. It reports whether it
// has been ready.
func (s *server) live(ctx context.Context, gone time.Time, ready chan<- error) (up bool, err error) {
	cmd := exec.Command(s.command[0], s.command[1:]...)
	cmd.Env = append(cmd.Environ(), s.env...)
	cmd.Stderr = s.log
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return false, err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // ProcessState tells how it ended
	}()
	s.set(func(now *serverStatus) { now.PID = cmd.Process.Pid; now.Starts++ }, cmd.Process)
	up = s.awaitReady(ctx, exited)
	if up {
		s.isBack(cmd.Process.Pid, gone)
		if ready != nil {
			ready <- nil
		}
	}
	s.awaitEnd(ctx, cmd, exited, up)
	s.set(func(now *serverStatus) { now.PID = 0; now.Up = false }, nil)
	if up && ctx.Err() == nil {
		s.changed(serverEvent{pid: cmd.Process.Pid, how: cmd.ProcessState.String()})
	}
	return up, fmt.Errorf("it ended with %s", cmd.ProcessState)
}

func (s *server) set(change func(*serverStatus), process *os.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.now)
	s.process = process
}

func (s *server) isBack(pid int, gone time.Time) {
	var after time.Duration
	if !gone.IsZero() {
		after = time.Since(gone)
	}
	s.mu.Lock()
	s.now.Up = true
	s.now.BackAfter = after.Milliseconds()
	s.mu.Unlock()
	if !gone.IsZero() {
		s.changed(serverEvent{back: true, pid: pid, after: after})
	}
}

// awaitReady polls /readyz until it says yes, the process ends, or ctx does.
func (s *server) awaitReady(ctx context.Context, exited <-chan struct{}) bool {
	late := time.After(readyTimeout)
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		if s.isReady(ctx) {
			return true
		}
		select {
		case <-exited:
			return false
		case <-ctx.Done():
			return false
		case <-late:
			s.kill()
			return false
		case <-tick.C:
		}
	}
}

func (s *server) isReady(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := s.probe.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// awaitEnd waits until the process is gone, and asks it to go when ctx ends.
func (s *server) awaitEnd(ctx context.Context, cmd *exec.Cmd, exited <-chan struct{}, up bool) {
	select {
	case <-exited:
		return
	case <-ctx.Done():
	}
	if up && cmd.Process.Signal(syscall.SIGTERM) == nil { // otherwise it is gone already, or Windows has no such thing
		select {
		case <-exited:
			return
		case <-time.After(stopTimeout):
		}
	}
	_ = cmd.Process.Kill()
	<-exited
}

// tail is the end of what this run has logged.
func (s *server) tail() string {
	info, err := s.log.Stat()
	if err != nil {
		return ""
	}
	from := max(s.logFrom, info.Size()-logTail)
	text, _ := io.ReadAll(io.NewSectionReader(s.log, from, logTail)) // half a log is better than none
	return strings.TrimSpace(string(text))
}
