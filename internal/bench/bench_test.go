package bench_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/internal/bench"
	"github.com/parley-chat/parley/internal/fault/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun makes a short run against a real server: it judges the figures'
// sense, never their size.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	binary, err := server.Build(t.Context(), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	results := filepath.Join(dir, "RESULTS.md")
	var out bytes.Buffer
	r, err := bench.Run(t.Context(), bench.Options{
		Binary: binary, Duration: time.Second, Repeat: 1, Seed: 7, Version: "test", Results: results, Out: &out,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", &out)
	if len(r.Publish) != 3 {
		t.Fatalf("%d loads measured, want 3", len(r.Publish))
	}
	for _, f := range r.Publish {
		if f.Messages == 0 || f.P50 == 0 || f.P50 > f.P99 {
			t.Errorf("%d × %d: %d messages, p50 %v, p99 %v", f.Connections, f.Window, f.Messages, f.P50, f.P99)
		}
	}
	if r.BinaryBytes == 0 || r.IdleBytes == 0 || r.Ready == 0 || r.PipeliningGain() == 0 {
		t.Errorf("not everything was measured: %+v", r)
	}
	if got := strings.Count(out.String(), "\n"); got < 10 {
		t.Errorf("the table has %d lines", got)
	}
	if err := r.Append(results); err != nil { // as the next run would
		t.Fatal(err)
	}
	text, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	heads, sections, rows := strings.Count(string(text), "# Benchmarks"), strings.Count(string(text), "## Publishing: "), strings.Count(string(text), "\n| 1 × ")+strings.Count(string(text), "\n| 50 × ")
	if heads != 1 || sections != 2 || rows != 6 {
		t.Errorf("two runs made %d heads, %d sections and %d rows, want 1, 2 and 6:\n%s", heads, sections, rows, text)
	}
}
