package check_test

import (
	"os/exec"
	"testing"
)

// TestService asks systemd what the unit leaves open: 0 is nothing, 10 everything.
func TestService(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal("systemd-analyze is missing: apt-get install systemd")
	}
	out, err := exec.Command(analyze, "security", "--offline=yes", "--threshold=15", "--no-pager", "../parley.service").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
