package fault_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/internal/fault"
	"github.com/parley-chat/parley/internal/fault/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// In `make test` the loops are short. `make soak` makes as many rounds as
// PARLEY_SOAK_ROUNDS says and appends a row to PARLEY_SOAK_RESULTS;
// PARLEY_FAULT_SEED repeats a run.
const (
	killRounds = 20
	cutRounds  = 40
)

func TestKillLoop(t *testing.T) {
	loop := newLoop(t, killRounds)
	judge(t, loop, loop.Kill)
}

func TestCutLoop(t *testing.T) {
	loop := newLoop(t, cutRounds)
	judge(t, loop, loop.Cut)
}

func newLoop(t *testing.T, rounds uint64) fault.Loop {
	t.Helper()
	binary, err := server.Build(t.Context(), t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	return fault.Loop{
		Binary: binary, Data: t.TempDir(), Rounds: int(number(t, "PARLEY_SOAK_ROUNDS", rounds)),
		Publishers: 4, Window: 50, Batch: 300, Seed: number(t, "PARLEY_FAULT_SEED", rand.Uint64()),
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func judge(t *testing.T, loop fault.Loop, run func(context.Context) (*fault.Result, error)) {
	t.Helper()
	result, err := run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(result)
	if !result.Report.OK() {
		t.Errorf("a promise was broken; PARLEY_FAULT_SEED=%#x repeats it", loop.Seed)
	}
	if result.Report.Acked != result.Report.Sent {
		t.Errorf("%d messages were sent and %d acknowledged; the others were refused", result.Report.Sent, result.Report.Acked)
	}
	if enough := loop.Rounds * 100; result.Report.Acked < enough {
		t.Errorf("only %d messages were acknowledged, want %d at least", result.Report.Acked, enough)
	}
	if file := os.Getenv("PARLEY_SOAK_RESULTS"); file != "" {
		if err := result.Append(file, time.Now()); err != nil {
			t.Error(err)
		}
	}
}

func number(t *testing.T, key string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(key)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return n
}
