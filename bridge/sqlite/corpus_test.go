package sqlite_test

import (
	"testing"

	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/storetest"
)

func TestSearchCorpus(t *testing.T) {
	storetest.SearchCorpus(t, func(t *testing.T, dir string) bridge.Store { return open(t, dir) }, 2000)
}
