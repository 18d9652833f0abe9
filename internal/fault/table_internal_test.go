package fault

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley/internal/fault/checker"
)

// A table can be made in several runs; a row that is not run again stays, with the
// commit that it is of.
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
	run("two", rows[0], 1)
	run("two", rows[1], 1)
	expect("| "+rows[0].Name+" |", ", commit two |", "| "+rows[1].Name+" |", ", commit two |", "| "+rows[2].Name+" |", ", commit one |", "7 messages were acknowledged in all")
}

// What did not hold is told in lines of its own, which name the row, and in the table.
func TestFindingsAreKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "FAULTS.md")
	row := Rows()[0]
	r := &Result{Row: row, Report: &checker.Report{Acked: 5, Lost: 1, Examples: []string{"lost: 7"}}}
	r.problem("shows a|b,\nthe server says %s", "c")
	for _, want := range []string{"\nBROKEN " + row.Name + ": lost: 7", "\nBROKEN " + row.Name + ": shows a|b, the server says c"} {
		if !strings.Contains(r.String(), want) {
			t.Errorf("%q is not told:\n%s", want, r)
		}
	}
	s := &Session{Results: file}
	if err := s.write([]*Result{r}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"**found: lost: 7**, **found: shows a¦b, the server says c** |", "5 messages were acknowledged in all"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%q is not in the table:\n%s", want, data)
		}
	}
}
