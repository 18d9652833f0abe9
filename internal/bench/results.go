package bench

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/parley-chat/parley/internal/results"
)

// Results is what a run measured, and on what.
type Results struct {
	Date    time.Time
	Machine string
	Version string
	Seed    uint64

	Publish []Figures

	// Of the server as a process, started on a store that exists; of several
	// starts the worst. 0 if it was not started by the run.
	BinaryBytes int64         // the binary with all it embeds
	IdleBytes   int64         // resident after a second of doing nothing
	Ready       time.Duration // from the start of the process until /readyz said yes
}

// PipeliningGain is how many times as many messages one connection with many
// under way has acknowledged as one that waits for each; 0 if either was not
// measured.
func (r *Results) PipeliningGain() float64 {
	var one, many float64
	for _, f := range r.Publish {
		switch {
		case f.Connections == 1 && f.Window == 1:
			one = f.Rate()
		case f.Connections == 1:
			many = f.Rate()
		}
	}
	if one == 0 {
		return 0
	}
	return many / one
}

const mega = 1 << 20

const resultsHead = `# Benchmarks

Made by ` + "`make bench`" + `, which appends a section for each thing that it measures; the newest is the last.
`

const publishHead = `
## Publishing: %s, %s

Durable publishers over MQTT 5, QoS 1, 256-byte payloads, each connection in a conversation of its own; client
and server share the machine: %s. Medians, seed ` + "`%#x`" + `.

| connections × in flight | messages/s | ack p50 | ack p99 | server CPU/message |
|---|---:|---:|---:|---:|
`

// Append writes the figures as a section to the end of a Markdown file.
func (r *Results) Append(file string) error {
	return results.Append(file, resultsHead, r.markdown())
}

func (r *Results) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, publishHead, r.Date.UTC().Format(time.DateOnly), r.Version, r.Machine, r.Seed)
	for _, f := range r.Publish {
		fmt.Fprintf(&b, "| %d × %d | %.0f | %s | %s | %s |\n",
			f.Connections, f.Window, f.Rate(), millis(f.P50), millis(f.P99), micros(f.CPUPerMessage()))
	}
	if r.BinaryBytes > 0 {
		fmt.Fprintf(&b, "\nBinary %.1f MB, idle %.0f MB, ready in %d ms.\n",
			float64(r.BinaryBytes)/mega, float64(r.IdleBytes)/mega, r.Ready.Milliseconds())
	}
	return b.String()
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

func micros(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f µs", float64(d)/float64(time.Microsecond))
}

// table prints results for a person, as they come.
type table struct {
	out io.Writer
}

func (t table) line(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, format+"\n", args...) // a closed terminal does not stop a measurement
}

func (t table) head(r *Results) {
	t.line("%s, parley %s, seed %#x", r.Machine, r.Version, r.Seed)
	t.line("durable publishers, %d bytes, QoS 1\n", payloadBytes)
	t.line("%11s  %9s  %10s  %10s  %10s  %12s", "connections", "in flight", "messages/s", "ack p50", "ack p99", "CPU/message")
}

func (t table) figures(f *Figures) {
	t.line("%11d  %9d  %10.0f  %10s  %10s  %12s",
		f.Connections, f.Window, f.Rate(), millis(f.P50), millis(f.P99), micros(f.CPUPerMessage()))
}

func (t table) foot(r *Results) {
	t.line("\n%-26s %8.1f ×    (at least 5)", "50 in flight against 1", r.PipeliningGain())
	if r.BinaryBytes == 0 {
		return
	}
	t.line("%-26s %8.1f MB   (at most 25)", "binary", float64(r.BinaryBytes)/mega)
	t.line("%-26s %8.1f MB   (at most 60)", "memory when idle", float64(r.IdleBytes)/mega)
	t.line("%-26s %8d ms   (at most 500)", "from start to ready", r.Ready.Milliseconds())
}
