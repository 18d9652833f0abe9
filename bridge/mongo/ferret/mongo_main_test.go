package ferret_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/storetest"
)

func TestMain(m *testing.M) {
	storetest.ChildMain(func(ctx context.Context, dir string) (bridge.Store, error) {
		uri, err := os.ReadFile(filepath.Join(dir, "uri"))
		if err != nil {
			return nil, err
		}
		return mongo.Open(ctx, mongo.Options{URI: string(uri), NoProbe: true, Attempt: 20 * time.Second, Patience: time.Minute})
	})
	for name, value := range map[string]string{
		"rapid.checks":  strconv.Itoa(10 * storetest.Scale()), // the server goes through everything it has for each of their reads
		"test.parallel": "6",                                  // mostly they wait for what hangs
	} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// TestCrash kills processes that append. Their database stays.
func TestCrash(t *testing.T) {
	servers := map[string]string{}
	storetest.Crash(t, func(t *testing.T, dir string) bridge.Store {
		return openStore(t, servers[dir])
	}, func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, "uri"), []byte(databaseOf(t, servers, dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	})
}
