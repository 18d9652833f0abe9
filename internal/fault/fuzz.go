package fault

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// fuzzTarget is a fuzz test of the source tree, and how many decoders it tries:
// it gets the time of each.
type fuzzTarget struct {
	folder, name string
	decoders     int
}

// fuzzTargets are all that read strangers' bytes.
func fuzzTargets() []fuzzTarget {
	return []fuzzTarget{
		{"broker", "FuzzServerBytes", 2}, // MQTT 3.1.1 and 5, on a real server
		{"broker", "FuzzPreamble", 1},
		{".", "FuzzDecodeDraft", 1},
		{".", "FuzzDecodeMark", 1},
		{".", "FuzzDecodeSet", 1},
		{".", "FuzzParseFilter", 1},
		{"bridge/access", "FuzzVerify", 1},
		{"bridge/search", "FuzzTokens", 1},
		{"bridge/search", "FuzzParse", 1},
		{"bridge/search", "FuzzMatch", 1},
		{"bridge/seal", "FuzzUnfold", 1},
		{"bridge/picture", "FuzzClean", 1},
	}
}

// fuzz runs the fuzz tests, one after the other, for as many minutes as there are
// rounds, and again for each further decoder. What fails one is a finding, whose
// input go leaves in the source tree.
func fuzz(ctx context.Context, l *Lab) error {
	for _, t := range fuzzTargets() {
		out, err := t.run(ctx, time.Duration(l.Rounds*t.decoders)*time.Minute)
		n := executionsIn(out)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case n == 0:
			return fmt.Errorf("%s was not executed: %w\n%s", t.name, err, out)
		case err != nil && !endedLate(out):
			l.result.count("crashes", 1)
			l.result.problem("%s: %s", t.name, out[max(0, len(out)-4<<10):])
		}
		l.result.count("crashes", 0)
		l.result.count(t.name+" executions", n)
	}
	return nil
}

// run returns what go said. It fails when an input has failed the test. Little
// time goes into making inputs shorter: a server with goroutines takes another
// way each time, so that go would try for a minute with each.
func (t fuzzTarget) run(ctx context.Context, d time.Duration) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+d.String(), "-fuzzminimizetime=10x", "./"+t.folder)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // the workers, too
	return cmd.CombinedOutput()
}

var executed = regexp.MustCompile(`execs: (\d+)`)

// executionsIn is the last count that go told.
func executionsIn(out []byte) int {
	all := executed.FindAllSubmatch(out, -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(string(all[len(all)-1][1])) // digits
	return n
}

// endedLate reports whether the only complaint is that a worker was busy when
// the time was up, which go counts as a failure: an input that fails is named.
func endedLate(out []byte) bool {
	return bytes.Contains(out, []byte("context deadline exceeded")) && !bytes.Contains(out, []byte("Failing input"))
}
