package ferret_test

import (
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/mongo/wire"
)

// TestRepeatedBatch: who comes back after a crash sends again what was on its way, all in
// one call, to a server that remembers nothing. If each took round trips of its own, a
// slow database would never be through before the caller gives up, and starts again.
func TestRepeatedBatch(t *testing.T) {
	const entries, enough = 64, 12
	s := newStorm(t, 1)
	sea := &sea{storm: s, name: "repeated"}
	first := sea.writer(0, 0, "usr_1").say(t.Context(), entries)
	if err := s.nodes[0].store.Close(); err != nil {
		t.Fatal(err)
	}
	uri, err := s.proxy.URI(s.uri)
	if err != nil {
		t.Fatal(err)
	}
	store, err := mongo.Open(t.Context(), mongo.Options{URI: uri, NoProbe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	commands := 0
	s.proxy.Break(func(c wire.Command) wire.Fault {
		if byStore(c) {
			commands++
		}
		return wire.Fault{}
	})
	again, err := store.Append(t.Context(), sea.stream(0), sea.calls[0].entries, parley.ExpectAny)
	s.proxy.Break(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range again {
		if !a.Duplicate || a.Entry.Seq != first[i].Entry.Seq {
			t.Errorf("entry %d: duplicate %v at %d, want one at %d", i, a.Duplicate, a.Entry.Seq, first[i].Entry.Seq)
		}
	}
	if commands > enough {
		t.Errorf("%d entries took %d commands, want at most %d", entries, commands, enough)
	}
}
