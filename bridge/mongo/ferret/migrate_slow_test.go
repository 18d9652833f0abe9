package ferret_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/mongo/wire"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

// TestMigrateToASlowDatabase copies a store into a database that takes in few entries
// in time: more than that it gives up, but once it stores them behind the client's back.
func TestMigrateToASlowDatabase(t *testing.T) {
	ctx := t.Context()
	from, err := sqlite.Open(ctx, sqlite.Options{Dir: filepath.Join(t.TempDir(), "from")})
	noError(t, err)
	t.Cleanup(func() { _ = from.Close() })
	storetest.Furnish(t, from, 60, 3)

	proxy, through, _ := between(t)
	proxy.Limit(800, 1) // commands of up to 400 documents: no more than one is under way
	f, err := mongo.Fill(ctx, mongo.Options{URI: through, NoProbe: true, Attempt: 2 * time.Second, Patience: 2500 * time.Millisecond}, from.Epoch())
	noError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	late := 0
	proxy.Break(func(c wire.Command) wire.Fault {
		if c.Name == "insert" && c.Collection == "entries" && c.Documents > 300 {
			if late++; late == 1 {
				return wire.Belated()
			}
			return wire.Hang(wire.Before)
		}
		return wire.Fault{}
	})
	waited := 0
	copied, err := mirror.Copy(ctx, from, f, mirror.Options{Pause: 10 * time.Millisecond, Tell: func(p mirror.Progress) {
		if p.Trouble != nil {
			waited++
		}
	}})
	noError(t, err)
	proxy.Break(nil)
	compared, err := mirror.Compare(ctx, from, f, mirror.Options{})
	noError(t, err)
	t.Logf("copied %+v, compared %+v; %d commands were late, the copy waited %d times", copied, compared, late, waited)
	if late == 0 || waited == 0 {
		t.Errorf("%d commands were late, the copy waited %d times", late, waited)
	}
}
