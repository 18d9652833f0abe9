package sqlite_test

import (
	"context"
	"flag"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

func TestMain(m *testing.M) {
	storetest.ChildMain(func(ctx context.Context, dir string) (bridge.Store, error) {
		return sqlite.Open(ctx, sqlite.Options{Dir: dir})
	})
	if dir := os.Getenv(fsyncDir); dir != "" {
		fsyncChild(dir)
		return
	}
	if dir := os.Getenv(fillDir); dir != "" {
		fillChild(dir)
		return
	}
	// Each of these opens the store a dozen times.
	if err := flag.Set("rapid.checks", strconv.Itoa(20*storetest.Scale())); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
