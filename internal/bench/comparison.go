package bench

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// CompareOptions say what to compare. Binary and Out are required.
type CompareOptions struct {
	Binary  string // of parley
	Version string // of what is measured, for the table
	Seed    uint64 // of the messages
	Rounds  int    // how often each broker gets each load, in turn; the median counts; 3 if 0
	Quick   bool   // tiny loads, to see that all is well; the figures mean nothing
	Only    string // only the scenarios whose name contains it; all if empty
	Results string // Markdown file that gets the table; none if empty
	Out     io.Writer
}

// Comparison is what a run has measured, on what.
type Comparison struct {
	Date     time.Time
	Machine  string
	Version  string
	Seed     uint64
	Rounds   int
	Took     time.Duration
	Brokers  []string // parley first
	Versions []string // of the brokers, empty where it is Version
	Measures []Measure
}

// Measure is one figure of every broker.
type Measure struct {
	Scenario string
	Name     string
	Unit     Unit
	Values   []float64 // medians, in the order of the brokers
}

// Unit says how a figure is written.
type Unit string

// The units. Of a rate more is better, of everything else less.
const (
	PerSecond Unit = "/s"
	Micros    Unit = "µs"
	Millis    Unit = "ms"
	Seconds   Unit = "s"
	KiB       Unit = "KiB"
	Bytes     Unit = "B"
	Percent   Unit = "%"
	Times     Unit = "×"
)

func (u Unit) format(v float64) string {
	switch u {
	case PerSecond:
		return fmt.Sprintf("%.0f/s", v)
	case Bytes, Percent:
		return fmt.Sprintf("%.0f %s", v, u)
	}
	return fmt.Sprintf("%.2f %s", v, u)
}

// Ratio is the first broker's figure divided by another's; false if one of the
// two is not above 0, or is a ratio or a share itself.
func (m *Measure) Ratio(other int) (float64, bool) {
	if m.Unit == Percent || m.Unit == Times || m.Values[0] <= 0 || m.Values[other] <= 0 {
		return 0, false
	}
	return m.Values[0] / m.Values[other], true
}

func (m *Measure) ratio(other int) string {
	ratio, ok := m.Ratio(other)
	if !ok {
		return "–"
	}
	return fmt.Sprintf("%.2f×", ratio)
}

const compareHead = `
## Side by side: %s, %s

Made by ` + "`make bench`" + ` on %s, seed ` + "`%#x`" + `, in %s: each broker is given each load in turn, %d rounds,
medians (idle connections and the long queue: one round). MQTT 3.1.1, QoS 1 and payloads of 256 bytes, which parley delivers as entries of
about twice that. Subscribers' sessions are kept. The load is one thread on the same cores, over loopback. A message is
under way until it is acknowledged and every subscriber has it. Only parley checks tokens and rights, and has fsynced what
it acknowledges; the others hold it in memory. Ratios are parley ÷ other: of rates, above 1 is better; of everything else,
below 1.

`

// markdown is the section of a run.
func (c *Comparison) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, compareHead, c.Date.UTC().Format(time.DateOnly), c.Version, c.Machine, c.Seed, c.Took.Round(time.Second), c.Rounds)
	b.WriteString("| load | figure |")
	for i, name := range c.Brokers {
		b.WriteString(" " + strings.TrimSpace(name+" "+c.Versions[i]) + " |")
	}
	for _, name := range c.Brokers[1:] {
		b.WriteString(" ÷ " + name + " |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---:|", 2*len(c.Brokers)-1) + "\n")
	for _, m := range c.Measures {
		fmt.Fprintf(&b, "| %s | %s |", m.Scenario, m.Name)
		for _, v := range m.Values {
			b.WriteString(" " + m.Unit.format(v) + " |")
		}
		for i := range c.Brokers[1:] {
			b.WriteString(" " + m.ratio(i+1) + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// Columns of what is shown on a terminal.
const (
	nameColumn  = 30
	valueColumn = 14
	ratioColumn = 13
)

// show prints a measure for a person.
func (c *Comparison) show(t table, m *Measure) {
	var b strings.Builder
	fmt.Fprintf(&b, "  %-*s", nameColumn-2, m.Name)
	for _, v := range m.Values {
		fmt.Fprintf(&b, "%*s", valueColumn, m.Unit.format(v))
	}
	for i := range c.Brokers[1:] {
		fmt.Fprintf(&b, "%*s", ratioColumn, m.ratio(i+1))
	}
	t.line("%s", b.String())
}

func (c *Comparison) showHead(t table) {
	t.line("%s, parley %s, seed %#x, %d rounds, medians", c.Machine, c.Version, c.Seed, c.Rounds)
	for i, name := range c.Brokers[1:] {
		t.line("%s is %s", name, c.Versions[i+1])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-*s", nameColumn, "")
	for _, name := range c.Brokers {
		fmt.Fprintf(&b, "%*s", valueColumn, name)
	}
	for _, name := range c.Brokers[1:] {
		fmt.Fprintf(&b, "%*s", ratioColumn, "÷ "+name)
	}
	t.line("%s", b.String())
}
