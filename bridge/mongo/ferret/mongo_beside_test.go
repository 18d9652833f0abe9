package ferret_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/mongo/wire"
)

// TestNobodyWaitsForOthers keeps one conversation from going on, by a command that is
// never answered; in another one messages are appended meanwhile.
func TestNobodyWaitsForOthers(t *testing.T) {
	message, deletes := draft("vis_a", "msg_0002", "two"), draft("vis_a", "msg_0003", "three")
	deletes.Type, deletes.Body = parley.EntryDelete, []byte(`{"seq":1}`)
	for name, c := range map[string]struct {
		command, collection string
		entry               parley.Entry
		expect              int64
		goesOn              bool // without that answer
	}{
		"the head of an old stream":    {"find", "entries", message, 1, false},
		"the target of a delete":       {"find", "entries", deletes, parley.ExpectAny, false},
		"the note of a delete":         {"insert", "deletes", deletes, parley.ExpectAny, false},
		"the blanking behind a delete": {"update", "entries", deletes, parley.ExpectAny, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, through, direct := between(t)
			one, other := conversation(1), conversation(2)
			before := openStore(t, direct)
			mustAppend(t, before, one, draft("vis_a", "msg_0001", "one"))
			mustClose(t, before)
			s := openWith(t, mongo.Options{URI: through, Attempt: 20 * time.Second, Patience: time.Minute})
			defer func() { mustClose(t, s) }()
			mustAppend(t, s, other, draft("vis_a", "msg_0001", "one"))
			var hanging atomic.Int64
			p.Break(func(cmd wire.Command) wire.Fault {
				if cmd.Name != c.command || cmd.Collection != c.collection {
					return wire.Fault{}
				}
				hanging.Add(1)
				return wire.Hang(wire.Before)
			})
			answered := make(chan error, 1)
			go func() {
				_, err := s.Append(context.Background(), one, []parley.Entry{c.entry}, c.expect)
				answered <- err
			}()
			await(t, func() bool { return hanging.Load() > 0 }, func() string { return "nothing hangs" })
			mustAppend(t, s, other, draft("vis_a", "msg_0002", "two"))
			mustAppend(t, s, other, draft("vis_a", "msg_0003", "three"))
			select {
			case err := <-answered:
				if !c.goesOn || err != nil {
					t.Errorf("the other one was answered before: %v", err)
				}
			default:
				if c.goesOn {
					must(t, <-answered)
				}
			}
			if n := hanging.Load(); n != 1 {
				t.Errorf("%d commands were not answered: somebody has waited for the first", n)
			}
			p.Break(nil)
			p.Cut()
			if c.goesOn {
				return
			}
			if err := <-answered; err != nil && !parley.ErrorOf(err).Code.Retry() {
				t.Errorf("append: %v, want a temporary error, or none", err)
			}
		})
	}
}
