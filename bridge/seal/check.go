package seal

import (
	"context"
	"slices"

	"github.com/parley-chat/parley"
)

// Log is what the data keys of a store are read from: the store, or a copy of it.
type Log interface {
	// Read returns up to limit entries of a stream that come after a seq.
	Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error)
}

// Check returns the ids of the master keys that a store's data keys are wrapped with, none
// if nothing is sealed. It fails with ErrKeys, as opening the store would, unless all of
// it can be read with keys.
func Check(ctx context.Context, from Log, keys Keys) (masters []string, err error) {
	s := newStore(nil, Options{Keys: keys})
	err = s.loadFrom(ctx, from)
	for _, wraps := range s.wraps {
		if id := wraps[len(wraps)-1].Master; !slices.Contains(masters, id) {
			masters = append(masters, id)
		}
	}
	slices.Sort(masters)
	return masters, err
}
