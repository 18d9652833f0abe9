package bench_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley/internal/bench"
	"github.com/parley-chat/parley/internal/fault/server"
)

// TestCompare gives tiny loads to real brokers: it judges that every figure is
// there and what parley promises, never how big a figure is.
func TestCompare(t *testing.T) {
	dir := t.TempDir()
	binary, err := server.Build(t.Context(), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	o := bench.CompareOptions{
		Binary: binary, Version: "test", Seed: 7, Rounds: 1, Quick: true, Results: filepath.Join(dir, "RESULTS.md"),
	}
	var out bytes.Buffer
	o.Out = &out
	c, err := bench.Compare(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Logf("\n%s", &out)
	if len(c.Brokers) != 3 || len(c.Measures) < 20 {
		t.Fatalf("%d measures of %d brokers", len(c.Measures), len(c.Brokers))
	}
	for _, m := range c.Measures {
		if len(m.Values) != len(c.Brokers) {
			t.Errorf("%s, %s: %d figures", m.Scenario, m.Name, len(m.Values))
			continue
		}
		switch m.Name {
		case "messages", "deliveries", "PUBACK p50", "PUBACK p99", "PUBACK p99 without it", "PUBACK p99 with it":
			if m.Values[0] <= 0 { // on a busy machine the others may get nothing done in so short a time
				t.Errorf("%s, %s: %s has %v", m.Scenario, m.Name, c.Brokers[0], m.Values[0])
			}
		case "out of order", "missing", "twice":
			if m.Values[0] != 0 {
				t.Errorf("%s: %v %% %s", m.Scenario, m.Values[0], m.Name)
			}
		}
		if !strings.Contains(out.String(), m.Name) {
			t.Errorf("%s is not shown", m.Name)
		}
	}
	text, err := os.ReadFile(o.Results)
	if err != nil {
		t.Fatal(err)
	}
	if rows := strings.Count(string(text), "\n| "); rows != len(c.Measures)+1 || !strings.Contains(string(text), "\n## Side by side: ") {
		t.Errorf("%d rows in\n%s", rows, text)
	}
}

func TestCompareKnowsItsLoads(t *testing.T) {
	_, err := bench.Compare(t.Context(), bench.CompareOptions{Binary: "parley", Only: "no such load", Out: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "no such load") {
		t.Errorf("error is %v", err)
	}
}
