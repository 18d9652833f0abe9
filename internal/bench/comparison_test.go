package bench

import (
	"strings"
	"testing"
	"time"
)

func TestComparisonTable(t *testing.T) {
	c := &Comparison{
		Date: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), Machine: "one core", Version: "v1", Seed: 7, Rounds: 3,
		Brokers: []string{"parley", "other"}, Versions: []string{"", "2.0"},
		Measures: []Measure{
			{Scenario: "a load", Name: "messages", Unit: PerSecond, Values: []float64{30000, 20000}},
			{Scenario: "a load", Name: "time", Unit: Millis, Values: []float64{1.5, 0}},
			{Scenario: "a load", Name: "missing", Unit: Percent, Values: []float64{1, 50}},
		},
	}
	text := c.markdown()
	for _, want := range []string{
		"## Side by side: 2026-11-21, v1\n",
		"| load | figure | parley | other 2.0 | ÷ other |\n|---|---|---:|---:|---:|\n",
		"| a load | messages | 30000/s | 20000/s | 1.50× |\n",
		"| a load | time | 1.50 ms | 0.00 ms | – |\n",
		"| a load | missing | 1 % | 50 % | – |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
