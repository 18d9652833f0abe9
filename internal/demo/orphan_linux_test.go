package demo_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startProcess starts `parley demo` as a person would, and waits for its screen.
func startProcess(t *testing.T) (cmd *exec.Cmd, serverPID int) {
	t.Helper()
	o := options(t, &output{})
	cmd = exec.Command(binary, "demo", "--data", o.Data, "--http", o.HTTP, "--mqtt", o.MQTT, "--page", "127.0.0.1:0")
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.Contains(lines.Text(), "Ctrl-C stops") {
	}
	// A child is listed with the thread that started it.
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		if children, err := os.ReadFile(list); err == nil && len(children) > 0 {
			_, err = fmt.Sscan(string(children), &serverPID)
			if err != nil {
				t.Fatalf("find the server in %q: %v", children, err)
			}
		}
	}
	if serverPID == 0 {
		t.Fatal("the demo has no child")
	}
	return cmd, serverPID
}

func awaitGone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

func TestServerEndsWithTheDemo(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			cmd, server := startProcess(t)
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			err := cmd.Wait()
			if signal != syscall.SIGKILL && err != nil {
				t.Errorf("the demo ended with %v", err)
			}
			awaitGone(t, server)
		})
	}
}
