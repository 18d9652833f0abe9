package ferret_test

import (
	"testing"
	"time"

	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/mongo/ferret"
	"github.com/parley-chat/parley/bridge/storetest"
)

func TestContract(t *testing.T) {
	servers := map[string]string{}
	storetest.Run(t, func(t *testing.T, dir string) bridge.Store { return openStore(t, databaseOf(t, servers, dir)) }, storetest.Small)
}

func TestRest(t *testing.T) {
	servers := map[string]string{}
	storetest.RunRest(t, func(t *testing.T, dir string, now func() time.Time) storetest.Rest {
		return openWith(t, mongo.Options{URI: databaseOf(t, servers, dir), Now: now})
	})
}

// databaseOf returns the database that dir stands for, a new one if there is none.
func databaseOf(t *testing.T, servers map[string]string, dir string) string {
	t.Helper()
	uri := servers[dir]
	if uri == "" {
		uri = ferret.Start(t)
		servers[dir] = uri
	}
	return uri
}

// openStore opens a store that the test closes.
func openStore(t testing.TB, uri string) *mongo.Store {
	t.Helper()
	return openWith(t, mongo.Options{URI: uri})
}

func openWith(t testing.TB, o mongo.Options) *mongo.Store {
	t.Helper()
	o.NoProbe = true
	if o.Patience == 0 { // these tests are about what comes, not when
		o.Attempt, o.Patience = 20*time.Second, time.Minute
	}
	if o.Commands == nil {
		o.Commands = newMonitor(t).command
	}
	s, err := mongo.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
