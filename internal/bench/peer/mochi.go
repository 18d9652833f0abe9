//go:build linux

package peer

import (
	"context"

	mqtt "github.com/mochi-mqtt/server/v2"
)

// Mochi is the engine that parley is built on, without parley: its own
// listeners and settings, nothing durable, everybody allowed.
type Mochi struct {
	binary  string
	process *process
}

// NewMochi returns one that runs in the parley binary.
func NewMochi(binary string) *Mochi { return &Mochi{binary: binary} }

// Name implements Broker.
func (m *Mochi) Name() string { return "bare mochi" }

// Version implements Broker.
func (m *Mochi) Version() string { return mqtt.Version }

// Ordered implements Broker.
func (m *Mochi) Ordered() bool { return false }

// Start implements Broker.
func (m *Mochi) Start(ctx context.Context, conversations, devices int) ([]Conversation, error) {
	m.Stop()
	tcp, ws, err := freeAddrs()
	if err != nil {
		return nil, err
	}
	if m.process, err = startProcess(ctx, tcp, ws, m.binary, "bench", "mochi", "--mqtt", tcp, "--http", ws); err != nil {
		return nil, err
	}
	return openConversations(conversations, devices), nil
}

// Stop implements Broker.
func (m *Mochi) Stop() {
	m.process.kill()
	m.process = nil
}

// TCP implements Broker.
func (m *Mochi) TCP() string { return m.process.tcp }

// WebSocket implements Broker.
func (m *Mochi) WebSocket() string { return m.process.ws }

// PID implements Broker.
func (m *Mochi) PID() int { return m.process.cmd.Process.Pid }
