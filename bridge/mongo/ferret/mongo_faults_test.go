package ferret_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/mongo/ferret"
	"github.com/parley-chat/parley/bridge/mongo/wire"
)

// patience bounds what a caller tries again.
const patience = time.Minute

// TestFaultsAtEveryAppend makes the first attempt at every insert go wrong, in every
// way there is. Whatever was acknowledged is there once, in its place, and was
// watched once, in order.
func TestFaultsAtEveryAppend(t *testing.T) {
	for _, f := range []wire.Fault{
		wire.Code(wire.NotPrimary, wire.Before),
		wire.Code(wire.SteppedDown, wire.Before), wire.Code(wire.SteppedDown, wire.After),
		wire.Code(wire.ShuttingDown, wire.Before), wire.Code(wire.ShuttingDown, wire.After),
		wire.Reset(wire.Before), wire.Reset(wire.After),
		wire.CutInside(wire.Before), wire.CutInside(wire.After),
		wire.Hang(wire.Before), wire.Hang(wire.After),
		wire.Delay(faultAttempt+faultAttempt/2, wire.Before), wire.Delay(faultAttempt+faultAttempt/2, wire.After),
		wire.Refuse(0, wire.ShuttingDown, wire.Before), wire.Refuse(0, wire.ShuttingDown, wire.After),
		wire.Refuse(0, wire.IllegalOperation, wire.Before),
		wire.ConcernTimeout(),
		wire.Belated(),
	} {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			faultAtEveryAppend(t, f)
		})
	}
}

const faultAttempt = 2 * time.Second

func faultAtEveryAppend(t *testing.T, f wire.Fault) {
	p, through, direct := between(t)
	s := openWith(t, mongo.Options{URI: through, Attempt: faultAttempt})
	w := watch(t, s)
	inserts := 0
	p.Break(func(c wire.Command) wire.Fault {
		if c.Name != "insert" || c.Collection != "entries" {
			return wire.Fault{}
		}
		if inserts++; inserts%2 == 0 {
			return wire.Fault{}
		}
		return f
	})
	j := newJournal()
	const streams, writers, each = 3, 6, 3
	var group sync.WaitGroup
	for n := range writers {
		group.Go(func() {
			for i := range each {
				j.append(t, s, conversation(n%streams), draft(fmt.Sprintf("vis_%d", n), fmt.Sprintf("msg_%04d", i), "hello"))
			}
			j.append(t, s, conversation(n%streams), draft(fmt.Sprintf("vis_%d", n), "msg_0000", "hello")) // a repeat
		})
	}
	group.Wait()
	p.Break(nil)
	ready(t, s)
	mustClose(t, s)
	t.Logf("%d inserts, half of them broken: %+v", inserts, s.Stats())

	after := openStore(t, direct)
	defer mustClose(t, after)
	for n := range streams {
		stored := j.check(t, after, conversation(n), writers/streams*each)
		if d := cmp.Diff(stored, w.of(conversation(n))); d != "" {
			t.Errorf("watched (-stored +watched):\n%s", d)
		}
	}
}

// TestTwoWriters lets two stores append to the same streams of one database.
func TestTwoWriters(t *testing.T) {
	uri := ferret.Start(t)
	const streams, writers, each = 3, 6, 15
	j := newJournal()
	var group sync.WaitGroup
	var watchers [2]*watcher
	var stores [2]*mongo.Store
	for i := range stores {
		stores[i] = openStore(t, uri)
		defer mustClose(t, stores[i])
		watchers[i] = watch(t, stores[i])
		for n := range writers {
			group.Go(func() {
				for k := range each {
					j.append(t, stores[i], conversation(n%streams), draft(fmt.Sprintf("vis_%d_%d", i, n), fmt.Sprintf("msg_%04d", k), "hello"))
					j.append(t, stores[i], conversation(n%streams), draft("vis_same", fmt.Sprintf("msg_%04d", k), "hello")) // all of them
				}
			})
		}
	}
	group.Wait()
	for n := range streams {
		stored := j.check(t, stores[0], conversation(n), (2*writers/streams+1)*each)
		for i, w := range watchers {
			watched := w.of(conversation(n))
			if len(watched) == 0 {
				t.Fatalf("store %d has told nothing", i)
			}
			first := watched[0].Seq // what was there when it first came to the stream is not told
			if d := cmp.Diff(stored[first-1:first-1+int64(len(watched))], watched); d != "" {
				t.Errorf("store %d (-stored +watched):\n%s", i, d)
			}
		}
	}
}

// watcher keeps what a store tells.
type watcher struct {
	mu      sync.Mutex
	entries map[parley.Stream][]parley.Entry
}

func watch(t *testing.T, s *mongo.Store) *watcher {
	w := &watcher{entries: map[parley.Stream][]parley.Entry{}}
	newest := int64(0)
	s.Watch(func(entries []parley.Entry) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, e := range entries {
			if e.At < newest {
				t.Errorf("%s %d at %d is told behind %d", e.Stream, e.Seq, e.At, newest)
			}
			newest = e.At
			w.entries[e.Stream] = append(w.entries[e.Stream], e)
		}
	})
	return w
}

func (w *watcher) of(s parley.Stream) []parley.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.entries[s]
}

// journal is what callers were told.
type journal struct {
	mu    sync.Mutex
	acked map[entryKey]int64
}

type entryKey struct {
	stream     parley.Stream
	sender, id string
}

func newJournal() *journal { return &journal{acked: map[entryKey]int64{}} }

// append appends e until it is acknowledged, as a sender's outbox does.
func (j *journal) append(t *testing.T, s *mongo.Store, stream parley.Stream, e parley.Entry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		answers, err := s.Append(ctx, stream, []parley.Entry{e}, parley.ExpectAny)
		if ctx.Err() != nil {
			t.Errorf("%s %s %s was never acknowledged: %v", stream, e.Sender, e.ID, err)
			return
		}
		if err != nil {
			continue
		}
		key := entryKey{stream, e.Sender, e.ID}
		j.mu.Lock()
		first, repeated := j.acked[key]
		j.acked[key] = answers[0].Entry.Seq
		j.mu.Unlock()
		if answers[0].Err != nil || repeated && first != answers[0].Entry.Seq {
			t.Errorf("%s %s %s: %+v, first acknowledged as %d", stream, e.Sender, e.ID, answers[0], first)
		}
		return
	}
}

// check compares a stream with what was acknowledged, and returns it.
func (j *journal) check(t *testing.T, s *mongo.Store, stream parley.Stream, want int) []parley.Entry {
	t.Helper()
	stored, err := s.Read(t.Context(), stream, 0, want+100)
	if err != nil {
		t.Fatal(err)
	}
	if len(stored) != want {
		t.Errorf("%s holds %d entries, want %d", stream, len(stored), want)
	}
	for i, e := range stored {
		if e.Seq != int64(i+1) || e.Count != e.Seq {
			t.Errorf("%s: entry %d has seq %d and count %d", stream, i+1, e.Seq, e.Count)
		}
		if acked := j.acked[entryKey{stream, e.Sender, e.ID}]; acked != e.Seq {
			t.Errorf("%s: %s %s is %d, acknowledged was %d", stream, e.Sender, e.ID, e.Seq, acked)
		}
	}
	return stored
}

// ready waits until the store says that it can write.
func ready(t *testing.T, s *mongo.Store) {
	t.Helper()
	await(t, func() bool { return s.Ready(t.Context()) == nil }, func() string { return fmt.Sprint(s.Ready(t.Context())) })
}
