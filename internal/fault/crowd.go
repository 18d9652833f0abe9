package fault

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// crowdNice is how much less of the processor a crowd gets than the server and those
// who measure it: its devices stand for as many machines.
const crowdNice = 10

// crowd is a process that is many devices.
type crowd struct {
	devices int
	journal string
	cmd     *exec.Cmd
	in      io.WriteCloser
	ended   chan struct{}

	orders int64 // told so far; of the goroutine that tells

	mu     sync.Mutex
	latest device.CrowdReport
}

func (w *world) crowd(ctx context.Context, n, devices int, secured bool) (*crowd, error) {
	c := &crowd{devices: devices, journal: filepath.Join(w.Folder, fmt.Sprintf("crowd-%d", n)), ended: make(chan struct{})}
	c.cmd = exec.CommandContext(ctx, w.Binary, "fault", "device", "--crowd")
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start crowd: %w", err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start crowd: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start crowd: %w", err)
	}
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, c.cmd.Process.Pid, crowdNice); err != nil {
		return nil, fmt.Errorf("start crowd: %w", err)
	}
	go c.read(out)
	part := device.CrowdPart{URL: w.server.URL(), MQTT: w.server.MQTT(), SiteKey: server.SiteKey, TLS: secured, Devices: devices, Idle: devices / 2, Journal: c.journal}
	return c, json.NewEncoder(c.in).Encode(part)
}

func (c *crowd) read(out io.Reader) {
	defer close(c.ended)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var r device.CrowdReport
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue
		}
		c.mu.Lock()
		c.latest = r
		c.mu.Unlock()
	}
	_ = c.cmd.Wait() // its journal tells whether it came to its end
}

// tell gives orders, see device.CrowdSay.
func (c *crowd) tell(orders ...string) error {
	for _, order := range orders {
		c.orders++
		if _, err := fmt.Fprintln(c.in, order); err != nil {
			return fmt.Errorf("tell a crowd: %w", err)
		}
	}
	return nil
}

// report returns the newest report, and whether it is from after the last order.
func (c *crowd) report() (r device.CrowdReport, obeyed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest, c.latest.Obeyed >= c.orders
}

// herd is all crowds.
type herd []*crowd

func (h herd) tell(orders ...string) error {
	for _, c := range h {
		if err := c.tell(orders...); err != nil {
			return err
		}
	}
	return nil
}

func (h herd) awaitObeyed(ctx context.Context) error {
	return await(ctx, gatherLimit, func() string {
		for _, c := range h {
			if _, obeyed := c.report(); !obeyed {
				return "a crowd does not obey"
			}
		}
		return ""
	})
}

// await waits until everybody is connected, acknowledged and up to date, as told
// in reports that are newer than the last order.
func (h herd) await(ctx context.Context, limit time.Duration) error {
	return await(ctx, limit, func() string {
		for _, c := range h {
			r, obeyed := c.report()
			if !obeyed || r.Connected < c.devices || r.Pending > 0 || r.Behind > 0 {
				return fmt.Sprintf("%d of %d are connected, %d messages not acknowledged, %d behind", r.Connected, c.devices, r.Pending, r.Behind)
			}
		}
		return ""
	})
}

// judge ends the process, reads its journal and every device's conversation.
func (c *crowd) judge(ctx context.Context, w *world) error {
	c.in.Close()
	select {
	case <-c.ended:
	case <-time.After(drainTimeout):
		return fmt.Errorf("a crowd does not end")
	}
	records, err := device.ReadOutbox(c.journal)
	if err != nil {
		return err
	}
	var streams []checker.Stream
	agent, err := w.rest.Agent(ctx, server.Site, server.AgentEmail, server.Password)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Event != checker.Follows {
			continue
		}
		entries, err := w.rest.Entries(ctx, agent, r.Conversation) // queued: every agent may read it
		if err != nil {
			return err
		}
		streams = append(streams, checker.Stream{Conversation: r.Conversation, Entries: entries})
	}
	w.result.add(checker.Check(records, streams), 0)
	return nil
}

func (c *crowd) end() {
	_ = c.cmd.Process.Kill() // fails only if it is gone already
	<-c.ended
	c.in.Close()
}
