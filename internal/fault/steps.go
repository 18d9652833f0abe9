package fault

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
)

// stepsPerCheck is about how many steps one check of the property makes.
const stepsPerCheck = 100

// randomSteps makes the property that devices converge, which is a test of the
// source tree, with as many checks as it takes for as many thousand steps as there
// are rounds. What fails is a finding; rapid leaves its steps in the source tree.
func randomSteps(ctx context.Context, l *Lab) error {
	for done := 0; done < l.Rounds*1_000; {
		missing := l.Rounds*1_000 - done
		out, err := runSteps(ctx, missing/stepsPerCheck+1, l.random.Uint64()|1)
		n := stepsIn(out)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case n == 0:
			return fmt.Errorf("no steps were made: %w\n%s", err, out)
		case err != nil:
			l.result.problem("devices do not converge: %s", out[max(0, len(out)-8<<10):])
			return nil
		}
		done += n
		l.result.count("steps", n)
	}
	return nil
}

// runSteps returns what go said.
func runSteps(ctx context.Context, checks int, seed uint64) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run=^TestDevicesConverge$", "-v", "-count=1", "-timeout=0", "./bridge",
		fmt.Sprintf("-rapid.checks=%d", checks), fmt.Sprintf("-rapid.steps=%d", stepsPerCheck), fmt.Sprintf("-rapid.seed=%d", seed))
	if _, err := os.Stat(memory); err == nil {
		cmd.Env = append(cmd.Environ(), "TMPDIR="+memory) // this is about order, not about disks
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // the test, too
	return cmd.CombinedOutput()
}

// memory is a file system without a disk.
const memory = "/dev/shm"

var madeSteps = regexp.MustCompile(`(\d+) steps`)

// stepsIn is how many steps a test told to have made.
func stepsIn(out []byte) int {
	match := madeSteps.FindSubmatch(out)
	if match == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(match[1])) // digits
	return n
}
