package results_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/parley-chat/parley/internal/results"
)

func TestAppend(t *testing.T) {
	file := filepath.Join(t.TempDir(), "not", "there", "RESULTS.md")
	for _, row := range []string{"| 1 |\n", "| 2 |\n"} {
		if err := results.Append(file, "| n |\n|---|\n", row); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if want := "| n |\n|---|\n| 1 |\n| 2 |\n"; err != nil || string(got) != want {
		t.Errorf("file is %q, %v; want %q", got, err, want)
	}
}
