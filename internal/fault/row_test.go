package fault_test

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/internal/fault"
	"github.com/parley-chat/parley/internal/fault/database"
	"github.com/parley-chat/parley/internal/fault/server"
)

// atOnce is how many rows run at the same time: mostly they wait.
const atOnce = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// behindCables are the rows that share the machine's network namespaces.
var behindCables = []string{"cable-pull", "half-open", "bad-network"}

// TestRows makes each row that has one in its short form. How long things take is told and
// not judged; `make soak` does that. PARLEY_FAULT_SEED repeats a run.
func TestRows(t *testing.T) {
	lab := newLab(t)
	t.Run("network", func(t *testing.T) {
		t.Parallel()
		for _, row := range fault.Rows() {
			if slices.Contains(behindCables, row.Name) {
				t.Run(row.Name, func(t *testing.T) { judge(t, row, lab) })
			}
		}
	})
	for _, row := range fault.Rows() {
		if slices.Contains(behindCables, row.Name) || row.Short == 0 {
			continue
		}
		t.Run(row.Name, func(t *testing.T) {
			t.Parallel()
			judge(t, row, lab)
		})
	}
}

func newLab(t *testing.T) fault.Lab {
	t.Helper()
	folder := t.TempDir()
	lab := fault.Lab{Folder: folder, Seed: seed(t)}
	for binary, tags := range map[*string][]string{&lab.Binary: nil, &lab.FaultBinary: {"fault"}} {
		var err error
		if *binary, err = server.Build(t.Context(), folder, false, tags...); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if lab.Database, err = database.Build(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	if lab.Client, err = filepath.Abs(filepath.Join("..", "..", fault.ClientFile)); err != nil {
		t.Fatal(err)
	}
	if lab.Kept, err = filepath.Abs(filepath.Join("..", "..", fault.KeptFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lab.Client); err != nil {
		t.Fatalf("%v: make web", err)
	}
	return lab
}

func judge(t *testing.T, row *fault.Row, lab fault.Lab) {
	t.Helper()
	lab.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	result, err := row.Run(context.WithoutCancel(t.Context()), lab)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(result)
	if !result.OK() {
		t.Errorf("a promise was broken; PARLEY_FAULT_SEED=%#x repeats it", result.Seed)
	}
	if result.Report.Acked == 0 {
		t.Error("nothing was acknowledged")
	}
}

func seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("PARLEY_FAULT_SEED")
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		t.Fatalf("PARLEY_FAULT_SEED: %v", err)
	}
	return n
}
