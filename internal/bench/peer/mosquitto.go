//go:build linux

package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Mosquitto is the broker of that name as Debian has it, without persistence.
type Mosquitto struct {
	binary  string
	version string
	folder  string // of its configuration
	process *process
}

// settings lift every limit that a load could meet, and switch Nagle's
// algorithm off, as the others have it.
const settings = `allow_anonymous true
persistence false
log_type none
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 1000
set_tcp_nodelay true
listener %s 127.0.0.1
listener %s 127.0.0.1
protocol websockets
`

// NewMosquitto finds the installed one.
func NewMosquitto() (*Mosquitto, error) {
	binary, err := exec.LookPath("mosquitto")
	if err != nil { // Debian keeps it where only root looks
		binary, err = exec.LookPath("/usr/sbin/mosquitto")
	}
	if err != nil {
		return nil, errors.New("mosquitto is needed to compare with: apt-get install -y --no-install-recommends mosquitto")
	}
	help, _ := exec.Command(binary, "-h").Output() // ends with 1 or 3 after its first line told the version
	first, _, _ := strings.Cut(string(help), "\n")
	return &Mosquitto{binary: binary, version: strings.TrimPrefix(first, "mosquitto version ")}, nil
}

// Name implements Broker.
func (m *Mosquitto) Name() string { return "mosquitto" }

// Version implements Broker.
func (m *Mosquitto) Version() string { return m.version }

// Ordered implements Broker.
func (m *Mosquitto) Ordered() bool { return false }

// Start implements Broker.
func (m *Mosquitto) Start(ctx context.Context, conversations, devices int) ([]Conversation, error) {
	m.Stop()
	tcp, ws, err := freeAddrs()
	if err != nil {
		return nil, err
	}
	if m.folder, err = os.MkdirTemp("", "parley-bench-"); err != nil {
		return nil, fmt.Errorf("configure mosquitto: %w", err)
	}
	_, tcpPort, _ := net.SplitHostPort(tcp)
	_, wsPort, _ := net.SplitHostPort(ws)
	file := filepath.Join(m.folder, "mosquitto.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, settings, tcpPort, wsPort), 0o600); err != nil {
		return nil, fmt.Errorf("configure mosquitto: %w", err)
	}
	if m.process, err = startProcess(ctx, tcp, ws, m.binary, "-c", file); err != nil {
		return nil, err
	}
	return openConversations(conversations, devices), nil
}

// Stop implements Broker.
func (m *Mosquitto) Stop() {
	m.process.kill()
	m.process = nil
	if m.folder != "" {
		_ = os.RemoveAll(m.folder) // one small file in the folder for temporary ones
		m.folder = ""
	}
}

// TCP implements Broker.
func (m *Mosquitto) TCP() string { return m.process.tcp }

// WebSocket implements Broker.
func (m *Mosquitto) WebSocket() string { return m.process.ws }

// PID implements Broker.
func (m *Mosquitto) PID() int { return m.process.cmd.Process.Pid }
