package sqlite_test

import (
	"context"
	"os"
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
	goleak.VerifyTestMain(m)
}
