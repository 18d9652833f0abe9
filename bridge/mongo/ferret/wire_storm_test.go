package ferret_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/mongo/wire"
)

// attempt bounds a command of the stores here: what hangs, hangs so long.
const attempt = time.Second

// patience is how long a writer goes on with one call. It is longer than anything here
// takes.
const patience = time.Minute

// storm is a server with a proxy in front of it, and the stores that must weather what
// the proxy does.
type storm struct {
	proxy  *wire.Proxy
	uri    string // without the proxy
	direct *driver.Database
	nodes  []*node
}

// node is one process that has the store open.
type node struct {
	store *mongo.Store

	mu   sync.Mutex
	told []parley.Entry
}

func newStorm(t *testing.T, nodes int) *storm {
	t.Helper()
	p, through, direct := between(t)
	s := &storm{proxy: p, uri: direct, direct: connect(t, direct)}
	for range nodes {
		n := &node{}
		var err error
		if n.store, err = mongo.Open(t.Context(), mongo.Options{URI: through, NoProbe: true, Attempt: attempt}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			p.Break(nil)
			if err := n.store.Close(); err != nil {
				t.Error(err)
			}
		})
		n.store.Watch(func(entries []parley.Entry) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.told = append(n.told, entries...)
		})
		s.nodes = append(s.nodes, n)
	}
	return s
}

// clear takes away what voyages have left: the server reads all there is to find anything.
func (s *storm) clear(t *testing.T) {
	t.Helper()
	if _, err := s.direct.Collection("entries").DeleteMany(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	for _, n := range s.nodes {
		n.mu.Lock()
		n.told = n.told[len(n.told):]
		n.mu.Unlock()
	}
}

// sea is a set of streams in a storm, and what was done to them.
type sea struct {
	storm *storm
	name  string

	mu       sync.Mutex
	calls    []call
	problems []string
}

// call is an Append that was answered in the end.
type call struct {
	stream  parley.Stream
	entries []parley.Entry
	expect  int64 // of the last attempt
	answers []parley.Appended
}

func (s *sea) problem(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

func (s *sea) stream(n int) parley.Stream {
	return parley.MessagesOf("ste_storm", fmt.Sprintf("%s-%d", s.name, n))
}

// writer is somebody who sends one thing after the other, each until it is answered.
type writer struct {
	sea    *sea
	node   *node
	stream parley.Stream
	name   string
	sent   int
}

func (s *sea) writer(node, stream int, name string) *writer {
	return &writer{sea: s, node: s.storm.nodes[node%len(s.storm.nodes)], stream: s.stream(stream), name: name}
}

func (w *writer) entry(kind parley.EntryType, body string) parley.Entry {
	w.sent++
	return parley.Entry{
		ID: fmt.Sprintf("%s-%04d", w.name, w.sent), Sender: w.name, Role: parley.RoleVisitor, Type: kind,
		Body: []byte(body), Digest: []byte(string(kind) + body),
	}
}

func (w *writer) message() parley.Entry {
	return w.entry(parley.EntryText, fmt.Sprintf(`{"text":"message %d of %s"}`, w.sent+1, w.name))
}

// say sends n messages in one call.
func (w *writer) say(ctx context.Context, n int) []parley.Appended {
	entries := make([]parley.Entry, n)
	for i := range entries {
		entries[i] = w.message()
	}
	return w.append(ctx, parley.ExpectAny, entries...)
}

// append repeats the call until it is answered, as those do who have an outbox.
func (w *writer) append(ctx context.Context, expect int64, entries ...parley.Entry) []parley.Appended {
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil; {
		answers, err := w.node.store.Append(ctx, w.stream, slices.Clone(entries), expect)
		if err == nil {
			w.sea.mu.Lock()
			defer w.sea.mu.Unlock()
			w.sea.calls = append(w.sea.calls, call{w.stream, entries, expect, answers})
			return answers
		}
		last = err
	}
	w.sea.problem("%s gave up on %s: %v", w.name, entries[0].ID, last)
	return nil
}

// claim appends a control entry on the condition that nobody else has, until it is in;
// each time it is too late, it looks again.
func (w *writer) claim(ctx context.Context) {
	e := w.entry(parley.EntryAssigned, fmt.Sprintf(`{"agent":%q}`, w.name))
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		head, err := w.node.store.Head(ctx, w.stream)
		if err != nil {
			continue
		}
		answers := w.append(ctx, head.Seq, e)
		if answers == nil || !errors.Is(answers[0].Err, parley.ErrStale) {
			return
		}
	}
	w.sea.problem("%s never got its turn", w.name)
}

// amend edits one of the writer's messages and deletes it.
func (w *writer) amend(ctx context.Context, seq int64) {
	w.append(ctx, parley.ExpectAny, w.entry(parley.EntryEdit, fmt.Sprintf(`{"seq":%d,"text":"edited"}`, seq)))
	w.append(ctx, parley.ExpectAny, w.entry(parley.EntryDelete, fmt.Sprintf(`{"seq":%d}`, seq)))
}

// sail lets writers do all there is to do with streams, on all nodes at once: messages
// alone and several in a call, edits and deletes, and claims of one conversation by two.
func (s *storm) sail(ctx context.Context, name string) *sea {
	sea := &sea{storm: s, name: name}
	var all sync.WaitGroup
	for i := range 4 { // two streams, two writers each
		w := sea.writer(i/2, i%2, fmt.Sprintf("usr_%d", i))
		all.Go(func() {
			w.say(ctx, 1)
			w.say(ctx, 2)
			w.say(ctx, 1)
		})
	}
	w := sea.writer(0, 2, "usr_amends")
	all.Go(func() {
		if said := w.say(ctx, 1); said != nil {
			w.amend(ctx, said[0].Entry.Seq)
		}
		w.say(ctx, 1)
	})
	for i := range 2 {
		w := sea.writer(i, 3, fmt.Sprintf("agt_%d", i))
		all.Go(func() { w.claim(ctx) })
	}
	all.Wait()
	return sea
}

// everyFault is each that can happen to a command, and to a write of several documents.
func everyFault() []wire.Fault {
	faults := []wire.Fault{
		wire.ConcernTimeout(), wire.Belated(),
		wire.Refuse(0, wire.IllegalOperation, wire.Before), wire.Refuse(1, wire.IllegalOperation, wire.Before),
		wire.Refuse(0, wire.ShuttingDown, wire.Before), wire.Refuse(0, wire.ShuttingDown, wire.After),
		wire.Delay(attempt/5, wire.Before), wire.Delay(attempt/5, wire.After),
	}
	for _, when := range []wire.When{wire.Before, wire.After} {
		faults = append(faults,
			wire.Code(wire.NotPrimary, when), wire.Code(wire.SteppedDown, when), wire.Code(wire.ShuttingDown, when),
			wire.Reset(when), wire.CutInside(when), wire.Hang(when))
	}
	return faults
}

// byStore tells commands of a store from those that drivers send by themselves.
func byStore(c wire.Command) bool {
	return c.Name != "hello" && c.Name != "ping" && c.Name != "endSessions" && c.Name != "killCursors"
}

// TestEveryFaultAtEveryCommand breaks each command of a voyage, one in each, until a
// voyage has fewer.
func TestEveryFaultAtEveryCommand(t *testing.T) {
	for i, fault := range everyFault() {
		t.Run(fmt.Sprintf("%d %s", i, fault), func(t *testing.T) {
			t.Parallel()
			s := newStorm(t, 1)
			for n := 1; ; n++ {
				commands := 0
				s.proxy.Break(func(c wire.Command) wire.Fault {
					if !byStore(c) {
						return wire.Fault{}
					}
					if commands++; commands == n {
						return fault
					}
					return wire.Fault{}
				})
				sea := s.sail(t.Context(), fmt.Sprintf("voyage%d", n))
				s.proxy.Break(nil)
				if sea.check(t); t.Failed() {
					t.Fatalf("it was command %d", n)
				}
				s.clear(t)
				if commands < n {
					t.Logf("%d commands broken", n-1)
					return
				}
			}
		})
	}
}
