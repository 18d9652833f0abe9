package fault

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley/internal/fault/checker"
)

// A table can be made in several runs of one commit; rows of another are not
// mixed in.
func TestTableInParts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "FAULTS.md")
	rows := Rows()
	run := func(commit string, row *Row, acked int) {
		t.Helper()
		s := &Session{Results: file, Commit: commit}
		if err := s.write([]*Result{{Row: row, Report: &checker.Report{Acked: acked}}}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want ...string) {
		t.Helper()
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for _, part := range want {
			i := strings.Index(string(data)[at:], part)
			if i < 0 {
				t.Fatalf("%q is not there, or not in order:\n%s", part, data)
			}
			at += i
		}
	}
	run("one", rows[2], 5)
	run("one", rows[0], 7)
	expect("| "+rows[0].Name+" |", "| "+rows[2].Name+" |", "12 messages were acknowledged in all")
	run("one", rows[0], 8)
	expect("13 messages were acknowledged in all")
	run("two", rows[1], 1)
	expect("| "+rows[1].Name+" |", "1 messages were acknowledged in all")
	if data, _ := os.ReadFile(file); strings.Contains(string(data), "| "+rows[0].Name+" |") {
		t.Error("a row of another commit has stayed")
	}
}
