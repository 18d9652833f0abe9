// Package fault injects faults into real server processes and checks what must
// hold: nothing acknowledged is lost, doubled or reordered. The parts are in
// the packages below it; here are the runs.
package fault

import (
	"fmt"
	"strings"
	"time"

	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/results"
)

// Result is how a run ended.
type Result struct {
	Fault    string // what was done to the server, in a few words
	Rounds   int    // how many times
	Seed     uint64 // repeats the choices of the run
	Took     time.Duration
	ReadyMax time.Duration // the longest time from a start to ready
	Repeated int           // deliveries that a device dropped as repeated, which QoS 1 allows
	Report   *checker.Report
}

// Header is the head of the table that Row belongs to.
const Header = `| date | fault | rounds | acknowledged | shown | lost | doubled | reordered | gaps | repeated | slowest start | took | seed |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|
`

// Row is the result as a row of a Markdown table.
func (r *Result) Row(date time.Time) string {
	c := r.Report
	return fmt.Sprintf("| %s | %s | %d | %d | %d | %d | %d | %d | %d | %d | %d ms | %.0f s | `%#x` |\n",
		date.UTC().Format(time.DateOnly), r.Fault, r.Rounds, c.Acked, c.Shown, c.Lost, c.Doubled, c.Reordered, c.Gaps,
		r.Repeated, r.ReadyMax.Milliseconds(), r.Took.Seconds(), r.Seed)
}

// String is the result in one line, with its first findings in further ones.
func (r *Result) String() string {
	line := fmt.Sprintf("%s, %d rounds in %.1f s, seed %#x: %s; repeated %d, slowest start %d ms",
		r.Fault, r.Rounds, r.Took.Seconds(), r.Seed, r.Report, r.Repeated, r.ReadyMax.Milliseconds())
	return strings.Join(append([]string{line}, r.Report.Examples...), "\n  ")
}

// Append writes the result's row to the end of a Markdown file, which gets the
// table's head first when it is new.
func (r *Result) Append(file string, date time.Time) error {
	const head = "# Fault runs\n\nEach row is one run of `make soak`. Lost, doubled, reordered and gaps must be 0.\n\n" + Header
	return results.Append(file, head, r.Row(date))
}
