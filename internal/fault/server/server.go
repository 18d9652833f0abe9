// Package server runs a real `parley serve` as a child process that can be
// killed, stopped and started again on the same ports and data.
package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/parley-chat/parley/internal/fault/leash"
)

// What the provisioned site is called, see DemoSite.
const (
	Site        = "demo"
	SiteKey     = "demo-key"
	Agent       = "agt_demo"
	AgentEmail  = "agent@example.com"
	SecondEmail = "second@example.com"
	Password    = "parley-demo" // the same for both agents; only ever on loopback
)

// DemoSite is the environment variable, with its value, that makes a server
// create the site and the two agents above when they do not exist.
const DemoSite = "PARLEY_DEMO_SITE=1"

const (
	readyPoll    = 5 * time.Millisecond
	readyTimeout = 30 * time.Second
	stderrKept   = 64 << 10
)

// Config says what to run.
type Config struct {
	Binary string   // of parley, see Build
	Data   string   // the data folder, kept over restarts
	Store  string   // "mongodb://…": instead of a data folder
	Env    []string // "KEY=value", on top of this process's environment
	Prefix []string // command line that the server is started by, such as prlimit's
	// HTTP, MQTT and Metrics are addresses to listen on. Empty ones become free
	// ports of the loopback interface, the same over all restarts.
	HTTP, MQTT, Metrics string
}

// Server is a child process. Start, Kill and Stop are called by one goroutine;
// everything else is safe for concurrent use.
type Server struct {
	config Config
	stderr ring
	probe  *http.Client

	mu      sync.Mutex
	cmd     *exec.Cmd
	armed   []string
	exited  <-chan struct{} // closed when the process is gone and waited for
	ready   time.Duration
	started time.Time
}

// New prepares a server; it starts nothing.
func New(config Config) (*Server, error) {
	for _, addr := range []*string{&config.HTTP, &config.MQTT, &config.Metrics} {
		if *addr != "" {
			continue
		}
		free, err := FreeAddr(context.Background(), "127.0.0.1")
		if err != nil {
			return nil, err
		}
		*addr = free
	}
	return &Server{
		config: config,
		stderr: ring{limit: stderrKept},
		probe:  &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}, nil
}

// Ports below those that systems give to whoever connects: one of these is not taken
// while its server is being killed and started again.
const (
	firstPort = 10_000
	manyPorts = 20_000
	portTries = 100
)

// FreeAddr finds a port of a host of ours that nobody listens on just now.
func FreeAddr(ctx context.Context, host string) (string, error) {
	var err error
	for range portTries {
		var l net.Listener
		addr := net.JoinHostPort(host, strconv.Itoa(firstPort+rand.IntN(manyPorts)))
		if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", fmt.Errorf("find a free port: %w", err)
}

// URL is the base of the server's HTTP addresses, without a slash at the end.
func (s *Server) URL() string { return "http://" + s.config.HTTP }

// HTTP is where the server listens for HTTP, host and port.
func (s *Server) HTTP() string { return s.config.HTTP }

// MQTT is where the server listens for MQTT on TCP, host and port.
func (s *Server) MQTT() string { return s.config.MQTT }

// PID is the process id, 0 when the server has never been started.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// ReadyIn is how long the last start took, from the fork until /readyz said
// yes.
func (s *Server) ReadyIn() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

// Stderr returns the end of what the server has written to its standard error
// over all starts, at most 64 KiB.
func (s *Server) Stderr() string { return s.stderr.String() }

// Arm sets environment variables, "KEY=value", that the next starts get on top
// of Config.Env; none disarms.
func (s *Server) Arm(env ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = env
}

// Exited returns what is closed when the process that was started last is gone.
// Call it after a start.
func (s *Server) Exited() <-chan struct{} {
	_, exited := s.process()
	return exited
}

// Metrics is where the server serves its metrics, host and port.
func (s *Server) Metrics() string { return s.config.Metrics }

// Launch starts the process and returns without waiting until it is ready.
// Starting a running server is an error.
func (s *Server) Launch() error {
	if s.running() {
		return errors.New("start server: it is running")
	}
	c := s.config
	argv := append(slices.Clone(c.Prefix), c.Binary, "serve")
	if c.Store == "" {
		argv = append(argv, "--data", c.Data)
	}
	argv = append(argv, "--http", c.HTTP, "--mqtt", c.MQTT, "--metrics", c.Metrics)
	cmd := exec.Command(argv[0], argv[1:]...)
	s.mu.Lock()
	cmd.Env = append(append(cmd.Environ(), c.Env...), s.armed...)
	if c.Store != "" {
		cmd.Env = append(cmd.Env, "PARLEY_STORE="+c.Store)
	}
	s.mu.Unlock()
	cmd.Stderr = &s.stderr
	started := time.Now()
	exited, err := leash.Start(cmd)
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cmd, s.exited, s.started = cmd, exited, started
	return nil
}

// Start starts the process and returns when /readyz answers 200. It fails, and
// leaves nothing running, when the process ends before that, after 30 s, or
// when ctx ends; the error holds the end of the server's standard error.
func (s *Server) Start(ctx context.Context) error {
	if err := s.Launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := s.AwaitReady(ctx); err != nil {
		s.Kill()
		return fmt.Errorf("%w\n%s", err, s.Stderr())
	}
	return nil
}

// AwaitReady polls /readyz until it answers 200, the process ends, or ctx does.
func (s *Server) AwaitReady(ctx context.Context) error {
	s.mu.Lock()
	exited, started := s.exited, s.started
	s.mu.Unlock()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		if s.Ready(ctx) {
			s.mu.Lock()
			s.ready = time.Since(started)
			s.mu.Unlock()
			return nil
		}
		select {
		case <-exited:
			return errors.New("await server: it ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("await server: not ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// Ready asks /readyz once whether the server can do its work at present.
func (s *Server) Ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/readyz", http.NoBody)
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

// Kill ends the process with SIGKILL and waits until it is gone. Killing a
// server that does not run does nothing.
func (s *Server) Kill() {
	cmd, exited := s.process()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill() // fails only if it is gone already
	<-exited
}

// Stop asks the process to end with SIGTERM and waits. It fails when the
// process did not end with status 0, or not before ctx ended; in that case it
// is killed.
func (s *Server) Stop(ctx context.Context) error {
	cmd, exited := s.process()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // fails only if it is gone already
	select {
	case <-exited:
	case <-ctx.Done():
		s.Kill()
		return fmt.Errorf("stop server: %w\n%s", ctx.Err(), s.Stderr())
	}
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("stop server: it ended with %s\n%s", cmd.ProcessState, s.Stderr())
	}
	return nil
}

func (s *Server) process() (*exec.Cmd, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd, s.exited
}

func (s *Server) running() bool {
	cmd, exited := s.process()
	if cmd == nil {
		return false
	}
	select {
	case <-exited:
		return false
	default:
		return true
	}
}
