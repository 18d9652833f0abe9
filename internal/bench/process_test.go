package bench

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseCPU(t *testing.T) {
	tests := []struct {
		name, stat string
		want       time.Duration
		fails      bool
	}{
		{"plain", "42 (parley) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20", 1750 * time.Millisecond, false},
		{"a name with spaces and parentheses", "42 (par) ley (x) S 1 2 3 4 5 6 7 8 9 10 1 2 0", 30 * time.Millisecond, false},
		{"too short", "42 (parley) S 1 2", 0, true},
		{"not numbers", "42 (parley) S 1 2 3 4 5 6 7 8 9 10 x y 0", 0, true},
		{"empty", "", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseCPU([]byte(tt.stat))
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("parseCPU: %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestOwnProcess(t *testing.T) {
	if _, err := cpuTime(os.Getpid()); err != nil {
		t.Error(err)
	}
	if rss, err := residentBytes(os.Getpid()); err != nil || rss < mega {
		t.Errorf("this process holds %d bytes, %v", rss, err)
	}
	if got := Machine(); !strings.HasSuffix(got, "cores") {
		t.Errorf("Machine is %q", got)
	}
}
