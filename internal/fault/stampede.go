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
	"time"

	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	crowds      = 2    // processes
	stampedeRSS = 1500 // MB
	gatherLimit = 4 * time.Minute
)

// stampede kills the server of many devices, which all come back at once to go
// on with their sessions.
func stampede(ctx context.Context, l *Lab) error { return l.stampede(ctx, false, 30*time.Second) }

// stampedeTLS is the same with TLS ended in front of the server, and a whole
// handshake for each connection.
func stampedeTLS(ctx context.Context, l *Lab) error { return l.stampede(ctx, true, 60*time.Second) }

func (l *Lab) stampede(ctx context.Context, secured bool, limit time.Duration) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		var all [crowds]*crowd
		for i := range all {
			c, err := w.crowd(ctx, i, w.Rounds/crowds, secured)
			if err != nil {
				return err
			}
			defer c.end()
			all[i] = c
		}
		if err := awaitCrowds(ctx, all[:], gatherLimit); err != nil {
			return fmt.Errorf("gather: %w", err)
		}
		if err := sayAll(all[:]); err != nil {
			return err
		}
		if err := awaitCrowds(ctx, all[:], gatherLimit); err != nil {
			return fmt.Errorf("first words: %w", err)
		}
		w.server.Kill()
		if err := sayAll(all[:]); err != nil { // into nothing
			return err
		}
		if err := w.restart(ctx); err != nil {
			return err
		}
		began := time.Now()
		if err := awaitCrowds(ctx, all[:], gatherLimit); err != nil {
			return fmt.Errorf("come back: %w", err)
		}
		w.result.took("all back and caught up", time.Since(began), limit)
		rss, err := w.rss()
		if err != nil {
			return err
		}
		w.result.measure("RSS", float64(rss)/1e6, "MB", stampedeRSS)
		for _, c := range all {
			if err := c.judge(ctx, w); err != nil {
				return err
			}
			w.result.count("attempts to connect", int(c.latest.Attempts))
			if secured {
				w.result.count("TLS handshakes", int(c.latest.Secured))
			}
		}
		return nil
	})
}

// crowd is a process that is many devices.
type crowd struct {
	devices int
	journal string
	cmd     *exec.Cmd
	in      io.WriteCloser
	ended   chan struct{}

	mu     sync.Mutex
	latest device.CrowdReport
	words  int // reports since something was said
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
	go c.read(out)
	part := device.CrowdPart{URL: w.server.URL(), MQTT: w.server.MQTT(), SiteKey: server.SiteKey, TLS: secured, Devices: devices, Journal: c.journal}
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
		c.words++
		c.mu.Unlock()
	}
	_ = c.cmd.Wait() // its journal tells whether it came to its end
}

// say makes every device say something more.
func (c *crowd) say() error {
	if _, err := fmt.Fprintln(c.in, "say"); err != nil {
		return fmt.Errorf("tell a crowd: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.words = 0
	return nil
}

func sayAll(all []*crowd) error {
	for _, c := range all {
		if err := c.say(); err != nil {
			return err
		}
	}
	return nil
}

// awaitCrowds waits until everybody is connected, acknowledged and up to date,
// as told in reports that are newer than the last word.
func awaitCrowds(ctx context.Context, all []*crowd, limit time.Duration) error {
	return await(ctx, limit, func() string {
		for _, c := range all {
			c.mu.Lock()
			r, words := c.latest, c.words
			c.mu.Unlock()
			if words < 3 || r.Connected < c.devices || r.Pending > 0 || r.Behind > 0 {
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
