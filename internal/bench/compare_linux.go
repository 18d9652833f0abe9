package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/parley-chat/parley/internal/bench/peer"
	"github.com/parley-chat/parley/internal/results"
)

// Compare gives the same loads to parley, to the bare engine that it is built
// on and to the installed mosquitto, in turn, prints the medians to o.Out, and
// appends them to o.Results.
func Compare(ctx context.Context, o CompareOptions) (*Comparison, error) {
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	mosquitto, err := peer.NewMosquitto()
	if err != nil {
		return nil, err
	}
	if err := raiseFileLimit(); err != nil {
		return nil, err
	}
	brokers := []peer.Broker{peer.NewParley(o.Binary), peer.NewMochi(o.Binary), mosquitto}
	defer func() {
		for _, b := range brokers {
			b.Stop()
		}
	}()
	c := &Comparison{Date: time.Now(), Machine: Machine(), Version: o.Version, Seed: o.Seed, Rounds: o.Rounds}
	for _, b := range brokers {
		c.Brokers = append(c.Brokers, b.Name())
		c.Versions = append(c.Versions, b.Version())
	}
	if err := o.measure(ctx, c, brokers); err != nil {
		return nil, err
	}
	c.Took = time.Since(c.Date)
	table{o.Out}.line("\nIn %s. Of rates, a ratio above 1 is better; of everything else, one below.", c.Took.Round(time.Second))
	if o.Results == "" {
		return c, nil
	}
	return c, results.Append(o.Results, resultsHead, c.markdown())
}

// measure gives the loads to the brokers and shows what comes out of each.
func (o CompareOptions) measure(ctx context.Context, c *Comparison, brokers []peer.Broker) error {
	t := table{o.Out}
	c.showHead(t)
	for _, s := range scenarios(o.Quick) {
		if !strings.Contains(s.name, o.Only) {
			continue
		}
		t.line("%s", s.name)
		measures, err := o.interleave(ctx, s, brokers)
		if err != nil {
			return err
		}
		for i := range measures {
			c.show(t, &measures[i])
		}
		c.Measures = append(c.Measures, measures...)
	}
	if len(c.Measures) == 0 {
		return fmt.Errorf("no load's name contains %q", o.Only)
	}
	return nil
}

// interleave gives a load to all brokers in turn, o.Rounds times unless the
// load wants fewer.
func (o CompareOptions) interleave(ctx context.Context, s scenario, brokers []peer.Broker) ([]Measure, error) {
	runs := make([][][]float64, len(brokers)) // broker, round, figure
	rounds := o.Rounds
	if s.once {
		rounds = 1
	}
	for round := range rounds {
		for i, b := range brokers {
			values, err := s.give(ctx, b, o.Seed+uint64(round)<<32)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", s.name, b.Name(), err)
			}
			runs[i] = append(runs[i], values)
		}
	}
	measures := make([]Measure, len(s.figures))
	for n, f := range s.figures {
		measures[n] = Measure{Scenario: s.name, Name: f.name, Unit: f.unit}
		for i := range brokers {
			measures[n].Values = append(measures[n].Values, median(runs[i], n))
		}
	}
	return measures, nil
}

func median(rounds [][]float64, n int) float64 {
	var values []float64
	for _, figures := range rounds {
		values = append(values, figures[n])
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// give gives a load to one broker, which is stopped afterwards.
func (s scenario) give(ctx context.Context, b peer.Broker, seed uint64) ([]float64, error) {
	defer b.Stop()
	r, err := newRig(b)
	if err != nil {
		return nil, err
	}
	defer r.close()
	values, err := s.run(ctx, r, seed)
	if err == nil && len(values) != len(s.figures) {
		err = errors.New("not every figure was measured")
	}
	return values, err
}

// raiseFileLimit makes room for 10,000 connections here and in the brokers,
// which inherit the limit.
func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if limit.Max < openFiles {
		wider := syscall.Rlimit{Cur: openFiles, Max: openFiles} // root may
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &wider); err != nil {
			return fmt.Errorf("%d connections need `ulimit -n %d`, the limit is %d: %w", idleConnections, openFiles, limit.Max, err)
		}
		return nil
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}
