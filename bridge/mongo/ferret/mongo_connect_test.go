package ferret_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/mongo/wire"
)

// TestConnectWithoutAnswer loses the answer to the write of a connect, which is made
// again: a device that is new must not be told that there was a session.
func TestConnectWithoutAnswer(t *testing.T) {
	p, through, _ := between(t)
	s := openWith(t, mongo.Options{URI: through})
	defer func() { mustClose(t, s) }()
	const device = "ste_a.vis_a.dev_a"
	lost := 0
	p.Break(func(c wire.Command) wire.Fault {
		if c.Collection == "sessions" && (c.Name == "insert" || c.Name == "update") {
			if lost++; lost%2 == 1 {
				return wire.Reset(wire.After)
			}
		}
		return wire.Fault{}
	})
	first, err := s.Connect(t.Context(), device, false, time.Hour)
	must(t, err)
	must(t, s.SaveSubscription(t.Context(), device, first.Generation, parley.SubscriptionSave{Subscription: parley.Subscription{Filter: "f", QoS: 1}}))
	second, err := s.Connect(t.Context(), device, false, time.Hour)
	must(t, err)
	third, err := s.Connect(t.Context(), device, true, time.Hour)
	must(t, err)
	if first.Present || !second.Present || len(second.Subscriptions) != 1 || third.Present || lost < 3 {
		t.Errorf("%+v, %+v, %+v; %d writes", first, second, third, lost)
	}
	if first.Generation >= second.Generation || second.Generation >= third.Generation {
		t.Errorf("generations %d, %d, %d", first.Generation, second.Generation, third.Generation)
	}
}

// TestConnectionsAreMadeTogether lets many come at once, when connections and answers
// take their time: they must not wait for each other's connections.
func TestConnectionsAreMadeTogether(t *testing.T) {
	p, through, _ := between(t)
	s := openWith(t, mongo.Options{URI: through})
	defer func() { mustClose(t, s) }()
	const many, enough, slow = 16, 10, 2 * time.Second
	var came []time.Time // guarded by the proxy
	p.Break(func(c wire.Command) wire.Fault {
		switch c.Name {
		case "hello":
			came = append(came, time.Now())
			return wire.Delay(slow, wire.Before)
		case "find":
			return wire.Delay(slow, wire.Before)
		}
		return wire.Fault{}
	})
	var all sync.WaitGroup
	for n := range many {
		all.Go(func() {
			if _, err := s.Head(t.Context(), conversation(n)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	p.Break(nil)
	most := 0
	for i, first := range came {
		n := 0
		for n < len(came)-i && came[i+n].Sub(first) < slow {
			n++
		}
		most = max(most, n)
	}
	if most < enough {
		t.Errorf("%d connections were made at once, want at least %d", most, enough)
	}
}

// TestConnectBeforeCursors keeps a save of cursors from getting on: the device connects
// again all the same, and the cursor is saved later.
func TestConnectBeforeCursors(t *testing.T) {
	p, through, _ := between(t)
	s := openWith(t, mongo.Options{URI: through, Attempt: 20 * time.Second, Patience: time.Minute})
	defer func() { mustClose(t, s) }()
	const device = "ste_a.vis_a.dev_a"
	stream := conversation(1)
	first, err := s.Connect(t.Context(), device, false, time.Hour)
	must(t, err)
	save := parley.CursorSave{Device: device, Generation: first.Generation, Cursor: parley.Cursor{Stream: stream, Epoch: s.Epoch(), Seq: 7}}
	var hanging atomic.Int64
	p.Break(func(c wire.Command) wire.Fault {
		if c.Collection != "cursors" {
			return wire.Fault{}
		}
		hanging.Add(1)
		return wire.Hang(wire.Before)
	})
	saved := make(chan error, 1)
	go func() { saved <- s.SaveCursors(context.Background(), []parley.CursorSave{save}) }()
	await(t, func() bool { return hanging.Load() > 0 }, func() string { return "nothing hangs" })
	second, err := s.Connect(t.Context(), device, false, time.Hour)
	must(t, err)
	if n := hanging.Load(); !second.Present || n != 1 {
		t.Errorf("%+v; %d saves were not answered: it has waited for the first", second, n)
	}
	p.Break(nil)
	if err := <-saved; err == nil || !parley.ErrorOf(err).Code.Retry() {
		t.Errorf("saved: %v, want a temporary error", err)
	}
	save.Generation = second.Generation
	must(t, s.SaveCursors(t.Context(), []parley.CursorSave{save}))
	cursors, err := s.Cursors(t.Context(), device, []parley.Stream{stream})
	must(t, err)
	if diff := cmp.Diff([]parley.Cursor{save.Cursor}, cursors); diff != "" {
		t.Errorf("cursors (-want +got):\n%s", diff)
	}
}
