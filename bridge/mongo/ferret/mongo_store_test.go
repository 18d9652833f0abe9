package ferret_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/mongo/ferret"
	"github.com/parley-chat/parley/bridge/storetest"
)

func TestContract(t *testing.T) {
	servers := map[string]string{}
	storetest.Run(t, func(t *testing.T, dir string) bridge.Store { return openStore(t, databaseOf(t, servers, dir)) })
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
	s, err := mongo.Open(t.Context(), mongo.Options{URI: uri, NoProbe: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var _ = context.Background
var _ = url.Parse
