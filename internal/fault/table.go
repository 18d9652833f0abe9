package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// write writes the table of what has been run so far, if a file is named. Rows that
// stand in it already, of the same machine, stay until they are run again: each tells
// of which commit it is.
func (s *Session) write(results []*Result) error {
	if s.Results == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(s.Results), 0o755); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	var b strings.Builder
	b.WriteString(`# What was injected, and what it cost

Written by ` + "`make soak`" + `, which runs ` + "`parley fault`" + `: real servers, real clients, and a checker that reads only
what senders and devices wrote down and what REST returns (and the server to a fresh device: users' events).
*Messages* are acknowledged ones; what else was acknowledged is in the next column. Lost, doubled, reordered and
other (gaps, changed, unexplained, rows' own findings) must be 0. A limit is in brackets; what is beyond it is in
bold. A seed repeats the choices of a row: ` + "`parley fault ROW --seed SEED`" + `. The last column tells when it was run, and
of which commit.

`)
	b.WriteString(machine() + ".\n\n")
	b.WriteString("| row | fault | rounds | messages | marks, registers, edits | lost | doubled | reordered | other | measured | took | seed | of |\n" +
		"|---|---|---:|---:|---:|---:|---:|---:|---:|---|---:|---|---|\n")
	of := fmt.Sprintf("%s, commit %s", time.Now().UTC().Format(time.DateOnly), or(s.Commit, "unknown"))
	lines := linesOf(s.Results)
	for _, r := range results {
		lines[r.Row.Name] = r.row(of)
		if len(r.samples) == 0 {
			continue
		}
		if err := r.writeHours(s.Results, fmt.Sprintf("%s, %s.\n\n", of, machine())); err != nil {
			return err
		}
	}
	messages := 0
	for _, r := range Rows() {
		line, ok := lines[r.Name]
		if !ok {
			continue
		}
		b.WriteString(line)
		n, _ := strconv.Atoi(cell(line, 4)) // as row writes it
		messages += n
	}
	fmt.Fprintf(&b, "\n%d messages were acknowledged in all.\n", messages)
	if err := os.WriteFile(s.Results, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// linesOf returns the lines of the table in a file, by row, if it was made on this
// machine.
func linesOf(file string) map[string]string {
	lines := map[string]string{}
	data, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(data), "\n"+machine()+".\n") {
		return lines
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "| ") {
			lines[cell(line, 1)] = line
		}
	}
	return lines
}

// cell returns the n-th cell of a table's line, the first being 1.
func cell(line string, n int) string { return strings.TrimSpace(strings.Split(line, "|")[n]) }

// row is the result as a row of the table, of a day and commit.
func (r *Result) row(of string) string {
	c := r.Report
	var measured []string
	for _, f := range r.Figures() {
		measured = append(measured, f.marked())
	}
	for i, finding := range r.findings() {
		if i < findingsTold {
			measured = append(measured, "**found: "+inCell(finding)+"**")
		}
	}
	return fmt.Sprintf("| %s | %s | %d | %d | %d, %d, %d | %d | %d | %d | %d | %s | %.0f s | `%#x` | %s |\n",
		r.Row.Name, r.Row.Fault, r.Rounds, c.Acked, c.Marks, c.Registers, c.Edits, c.Lost, c.Doubled, c.Reordered,
		c.Gaps+c.Changed+c.Unexplained+len(r.Problems()), strings.Join(measured, ", "), r.Took.Seconds(), r.Seed, of)
}

// findingsTold is how many findings stand in the table: so that nobody has to find out
// anew what it was that did not hold.
const findingsTold = 3

// inCell is the beginning of a text as it may stand in a cell.
func inCell(text string) string {
	const most = 500
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return strings.NewReplacer("|", "¦", "*", "∗", "<", "‹", ">", "›").Replace(text)
}

// machine says in a few words what the run was made on.
func machine() string {
	return fmt.Sprintf("%d × %s, Linux %s, %s", runtime.NumCPU(), or(field("/proc/cpuinfo", "model name"), runtime.GOARCH),
		or(firstLine("/proc/sys/kernel/osrelease"), "?"), runtime.Version())
}

func field(file, name string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func firstLine(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
