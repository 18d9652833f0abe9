package fault

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEveryFuzzTestIsRun compares what is run with what there is.
func TestEveryFuzzTestIsRun(t *testing.T) {
	top := filepath.Join("..", "..")
	declared := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f `)
	want, got := map[string]string{}, map[string]string{}
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == "node_modules" || strings.HasPrefix(e.Name(), ".") && path != top) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(top, filepath.Dir(path))
		for _, match := range declared.FindAllSubmatch(source, -1) {
			want[string(match[1])] = folder
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range fuzzTargets() {
		got[target.name] = target.folder
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fuzz tests (-there are +run):\n%s", diff)
	}
}

func TestWhatGoSaysOfFuzzing(t *testing.T) {
	const progress = "fuzz: elapsed: 3s, execs: 2047 (682/sec), new interesting: 3 (total: 11)\n" +
		"fuzz: elapsed: 5s, execs: 4100 (700/sec), new interesting: 3 (total: 11)\n"
	for name, test := range map[string]struct {
		out        string
		executions int
		late       bool
	}{
		"passed":       {progress + "PASS\n", 4100, false},
		"a finding":    {progress + "--- FAIL: FuzzX (5.0s)\n    Failing input written to testdata/fuzz/FuzzX/582528ddfad69eb5\n", 4100, false},
		"late finding": {progress + "--- FAIL: FuzzX (5.0s)\n    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzX/5\n", 4100, false},
		"ended late":   {progress + "--- FAIL: FuzzX (5.0s)\n    context deadline exceeded\nFAIL\n", 4100, true},
		"no such":      {"testing: warning: no fuzz tests to fuzz\nPASS\n", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			if n := executionsIn([]byte(test.out)); n != test.executions {
				t.Errorf("%d executions, want %d", n, test.executions)
			}
			if late := endedLate([]byte(test.out)); late != test.late {
				t.Errorf("ended late: %v, want %v", late, test.late)
			}
		})
	}
}
