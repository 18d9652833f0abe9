package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The figures mean nothing at this size; that all is found and written does.
func TestBenchSearch(t *testing.T) {
	data, file := t.TempDir(), filepath.Join(t.TempDir(), "HISTORY.md")
	for _, args := range [][]string{
		{"fill", "--data", data, "--messages", "600"},
		{"search", "--data", data, "--sizes", "600,1200", "--pages", "3", "--queries", "3", "--results", file},
	} {
		cmd := newBench()
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatalf("bench %s: %v", strings.Join(args, " "), err)
		}
	}
	table, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(table), "| messages | 600 | 1,200 | found |") {
		t.Errorf("%v, the table is:\n%s", err, table)
	}
}

func TestBenchSeal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	cmd := newBench()
	cmd.SetArgs([]string{"seal", "--messages", "400", "--rounds", "1", "--results", file})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(table), "| a page of 50, µs |") {
		t.Errorf("%v, the table is:\n%s", err, table)
	}
}

func TestBenchBackup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "BESIDE.md")
	t.Setenv(asCommand, "1") // what it runs is this binary
	cmd := newBench()
	cmd.SetArgs([]string{"backup", "--messages", "600", "--rate", "2000", "--without", "300ms", "--results", file})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(table), "| seconds for 1 GB restored (≤ 180) |") || !strings.Contains(string(table), "\n| 600 | ") {
		t.Errorf("%v, the table is:\n%s", err, table)
	}
}
