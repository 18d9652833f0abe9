package fault

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	manyFiles   = 256 // that the server may have open
	strangers   = 400 // who connect and say nothing
	floodedTime = 3 * time.Second
	busyLimit   = 50 // % of a core, while nobody can come in
)

// noFiles lets a server have few files and sockets, and strangers take all of them.
// Who is in must not notice; who comes must get in when the strangers have gone.
func noFiles(ctx context.Context, l *Lab) error {
	prefix, err := prlimit(manyFiles)
	if err != nil {
		return err
	}
	return l.within(ctx, server.Config{Prefix: prefix}, func(ctx context.Context, w *world) error {
		if err := w.crew(ctx, bothReaders[:], everyKind[:], 20); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		victim, err := w.probe(ctx)
		if err != nil {
			return err
		}
		for n := range w.Rounds {
			if err := w.floodRound(ctx, victim, n); err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
		}
		return nil
	})
}

func (w *world) floodRound(ctx context.Context, victim *prober, n int) error {
	if err := w.load(ctx, 100); err != nil {
		return err
	}
	if err := w.drain(ctx); err != nil {
		return err
	}
	w.result.took("p99 before", victim.quantile(0.99), 0)
	address := w.server.MQTT()
	if n%2 == 1 {
		address = strings.TrimPrefix(w.server.URL(), "http://")
	}
	var all []net.Conn
	defer func() {
		for _, c := range all {
			c.Close()
		}
	}()
	for range strangers {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
		if err != nil {
			break // the backlog is full, too
		}
		all = append(all, c)
	}
	before := w.cpu()
	w.write(50)
	if err := sleep(ctx, floodedTime); err != nil {
		return err
	}
	w.result.measure("CPU while nobody can come in", 100*(w.cpu()-before)/floodedTime.Seconds(), "%", busyLimit)
	w.result.took("p99 meanwhile", victim.quantile(0.99), time.Second)
	if err := w.drain(ctx); err != nil { // while they are there
		w.result.problem("who is in cannot write: %v", err)
	}
	w.result.count("strangers", len(all))
	for _, c := range all {
		c.Close()
	}
	all = nil
	return w.letIn(ctx)
}

// letIn measures how long it takes until a new device is connected.
func (w *world) letIn(ctx context.Context) error {
	began := time.Now()
	err := await(ctx, drainTimeout, func() string {
		s, err := w.rest.Visitor(ctx, server.SiteKey, "newcomer")
		if err != nil {
			return err.Error()
		}
		c, err := w.login(ctx, s)
		if err != nil {
			return err.Error()
		}
		c.Disconnect()
		return ""
	})
	w.result.took("a newcomer is in max", time.Since(began), resumedLimit)
	return err
}

// cpu is how long the server has used a processor, in seconds.
func (w *world) cpu() float64 {
	const ticks = 100 // a second, on every Linux
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.server.PID()))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64) // numbers, says the kernel
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticks
}
