package ferret_test

import (
	"testing"

	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/storetest"
)

func TestSearchCorpus(t *testing.T) {
	servers := map[string]string{}
	storetest.SearchCorpus(t, func(t *testing.T, dir string) bridge.Store { return openStore(t, databaseOf(t, servers, dir)) }, 300)
}
