package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/parley-chat/parley/internal/fault"
)

func TestFaultListsItsRows(t *testing.T) {
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetArgs([]string{"fault", "--list"})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, row := range fault.Rows() {
		if !strings.Contains(out.String(), row.Name+" ") || !strings.Contains(out.String(), row.Pass) {
			t.Errorf("%s is not listed", row.Name)
		}
	}
}

func TestFaultRefusesUnknownRows(t *testing.T) {
	root := newRoot()
	root.SetArgs([]string{"fault", "earthquake"})
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "kill-loop") {
		t.Errorf("an unknown row: %v", err)
	}
}
