// Package bench measures the server as a client sees it: how many durable
// messages a second, how soon they are acknowledged, and what that costs.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// Options of a run. Only Out is required with a Binary.
type Options struct {
	Binary string // of parley; a server of it is started on an empty folder for each load

	// URL, MQTT and SiteKey name a running server instead: then nothing is
	// started, and CPU, memory and start are not measured.
	URL, MQTT, SiteKey string

	Duration time.Duration // of each load, 5 s if 0
	Repeat   int           // how often each load is made; the median counts; 3 if 0
	Seed     uint64        // of the messages
	Version  string        // of what is measured, for the table
	Results  string        // Markdown file that gets the table's rows; none if empty
	Out      io.Writer     // where the table goes, line by line
}

const (
	payloadBytes = 256
	warmup       = 500 * time.Millisecond
	idleAfter    = time.Second // a server is idle so long after its start
)

// loads is what is measured: nothing to gather, one connection that pipelines,
// and many.
func loads(d time.Duration) []Load {
	load := func(connections, window int) Load {
		return Load{Connections: connections, Window: window, Bytes: payloadBytes, Warmup: warmup, Duration: d}
	}
	return []Load{load(1, 1), load(1, 50), load(50, 20)}
}

// Run measures, prints a table to o.Out while it does, and appends it to
// o.Results.
func Run(ctx context.Context, o Options) (*Results, error) {
	if o.Duration == 0 {
		o.Duration = 5 * time.Second
	}
	if o.Repeat == 0 {
		o.Repeat = 3
	}
	r := &Results{Machine: Machine(), Version: o.Version, Seed: o.Seed, Date: time.Now()}
	t := table{o.Out}
	t.head(r)
	for _, l := range loads(o.Duration) {
		f, err := o.median(ctx, l, r)
		if err != nil {
			return nil, fmt.Errorf("%d connections with %d in flight: %w", l.Connections, l.Window, err)
		}
		r.Publish = append(r.Publish, *f)
		t.figures(f)
	}
	if o.URL == "" {
		info, err := os.Stat(o.Binary)
		if err != nil {
			return nil, fmt.Errorf("size of the binary: %w", err)
		}
		r.BinaryBytes = info.Size()
	}
	t.foot(r)
	if o.Results != "" {
		if err := r.Append(o.Results); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// median makes a load o.Repeat times and returns the figures of the run with
// the median rate.
func (o Options) median(ctx context.Context, l Load, r *Results) (*Figures, error) {
	var runs []*Figures
	for n := range o.Repeat {
		f, err := o.once(ctx, l, o.Seed+uint64(n)<<32, r)
		if err != nil {
			return nil, err
		}
		runs = append(runs, f)
	}
	slices.SortFunc(runs, func(a, b *Figures) int { return int(a.Rate() - b.Rate()) })
	return runs[len(runs)/2], nil
}

func (o Options) once(ctx context.Context, l Load, seed uint64, r *Results) (f *Figures, err error) {
	if o.URL != "" {
		rest := device.NewREST(o.URL)
		defer rest.Close()
		return l.Publish(ctx, Target{REST: rest, MQTT: o.MQTT, SiteKey: o.SiteKey}, seed)
	}
	data, err := os.MkdirTemp("", "parley-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a data folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	s, err := server.New(server.Config{Binary: o.Binary, Data: data, Env: []string{server.DemoSite}})
	if err != nil {
		return nil, err
	}
	defer s.Kill()
	// The first start makes the site and hashes passwords, which happens once in
	// the life of a store; what is measured is an ordinary start.
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	if err := s.Stop(ctx); err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	if err := r.watchIdle(ctx, s); err != nil {
		return nil, err
	}
	rest := device.NewREST(s.URL())
	defer rest.Close()
	return l.Publish(ctx, Target{REST: rest, MQTT: s.MQTT(), SiteKey: server.SiteKey, PID: s.PID()}, seed)
}

// watchIdle notes how long the server took to start and what it holds when it
// does nothing; of several starts, the worst.
func (r *Results) watchIdle(ctx context.Context, s *server.Server) error {
	if err := sleep(ctx, idleAfter); err != nil {
		return err
	}
	rss, err := residentBytes(s.PID())
	if err != nil {
		return err
	}
	r.IdleBytes = max(r.IdleBytes, rss)
	r.Ready = max(r.Ready, s.ReadyIn())
	return nil
}
