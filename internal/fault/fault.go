// Package fault injects faults into real server processes and checks what must
// hold: nothing acknowledged is lost, doubled or reordered. The parts are in
// the packages below it; here are the rows of the table of faults, each with
// what counts as a pass.
package fault

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parley-chat/parley/internal/fault/checker"
)

// Result is how a row ended.
type Result struct {
	Row      *Row
	Rounds   int    // how many faults were injected
	Seed     uint64 // repeats the choices of the run
	Took     time.Duration
	Repeated int // deliveries that a device dropped as repeated, which QoS 1 allows
	Report   *checker.Report

	mu       sync.Mutex
	problems []string
	figures  []Figure
	samples  []sample // of the long hours
}

// Figure is one measured number, and how large it may be.
type Figure struct {
	Name  string
	Value float64
	Unit  string
	Limit float64 // 0: only told
}

// Over reports whether the figure is larger than it may be.
func (f Figure) Over() bool { return f.Limit > 0 && f.Value > f.Limit }

func (f Figure) String() string {
	text := fmt.Sprintf("%s %s %s", f.Name, number(f.Value), f.Unit)
	if f.Limit > 0 {
		text += fmt.Sprintf(" (≤ %s)", number(f.Limit))
	}
	return strings.TrimSpace(text)
}

// marked is the figure as text, bold where it is larger than it may be.
func (f Figure) marked() string {
	if f.Over() {
		return "**" + f.String() + "**"
	}
	return f.String()
}

func number(v float64) string {
	if v == float64(int64(v)) || v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// problem notes that something which must hold did not, beside what the checker
// finds. Many of one kind are noted once each, the first hundred.
func (r *Result) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.problems) < 100 {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
}

// measure notes a figure; of several with the same name the largest is kept.
func (r *Result) measure(name string, value float64, unit string, limit float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, f := range r.figures {
		if f.Name == name {
			r.figures[i].Value = max(f.Value, value)
			return
		}
	}
	r.figures = append(r.figures, Figure{name, value, unit, limit})
}

func (r *Result) took(name string, d, limit time.Duration) {
	r.measure(name, d.Seconds(), "s", limit.Seconds())
}

// count adds to a figure that is only told.
func (r *Result) count(name string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, f := range r.figures {
		if f.Name == name {
			r.figures[i].Value += float64(n)
			return
		}
	}
	r.figures = append(r.figures, Figure{Name: name, Value: float64(n)})
}

// Problems are what did not hold, beside what is in the report.
func (r *Result) Problems() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.problems)
}

// Figures are what was measured.
func (r *Result) Figures() []Figure {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.figures)
}

// OK reports whether every promise was kept. How long things took does not
// count.
func (r *Result) OK() bool { return r.Report.OK() && len(r.Problems()) == 0 }

// InTime reports whether no figure is larger than it may be.
func (r *Result) InTime() bool { return !slices.ContainsFunc(r.Figures(), Figure.Over) }

// findings are what did not hold, in a line each.
func (r *Result) findings() []string {
	all := slices.Concat(r.Report.Examples, r.Problems())
	for i, finding := range all {
		all[i] = strings.Join(strings.Fields(finding), " ")
	}
	return all
}

// String is the result in one line, with its findings in further ones, each of which
// says which row is broken.
func (r *Result) String() string {
	line := fmt.Sprintf("%s, %d rounds in %.1f s, seed %#x: %s; repeated %d", r.Row.Name, r.Rounds, r.Took.Seconds(), r.Seed, r.Report, r.Repeated)
	for _, f := range r.Figures() {
		line += "; " + f.String()
		if f.Over() {
			line += " TOO MUCH"
		}
	}
	for _, finding := range r.findings() {
		line += fmt.Sprintf("\nBROKEN %s: %s", r.Row.Name, finding)
	}
	return line
}

// add takes up what another part of the same row has found.
func (r *Result) add(report *checker.Report, repeated int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Repeated += repeated
	r.Report.Add(report)
}
