package leash_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley/internal/fault/leash"
)

// TestMain lets this test binary play the harness, which starts a process and is
// killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "harness" {
		cmd := exec.Command("sleep", "600")
		defer leash.Hold(cmd)()
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		fmt.Println(cmd.Process.Pid)
		_ = cmd.Wait()
		return
	}
	os.Exit(m.Run())
}

func TestChildrenEndWithUs(t *testing.T) {
	harness := exec.Command(os.Args[0], "harness")
	out, err := harness.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := harness.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := harness.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = harness.Wait()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		// A dead child whom nobody waits for stays in the table: look at its command.
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
		if err != nil || len(command) == 0 {
			return
		}
		if time.Now().After(deadline) {
			_ = syscall.Kill(child, syscall.SIGKILL)
			t.Fatal("the child is still there")
		}
	}
}
