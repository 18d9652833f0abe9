package ferret_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/mongo/ferret"
)

// monitor counts the commands of a store, and fails the test for a write that does
// not ask for the journals of a majority, and a read that may see what is rolled
// back later.
type monitor struct {
	t testing.TB

	mu     sync.Mutex
	counts map[string]int
}

func newMonitor(t testing.TB) *monitor { return &monitor{t: t, counts: map[string]int{}} }

func (m *monitor) command(name string, command []byte) {
	m.mu.Lock()
	m.counts[name]++
	m.mu.Unlock()
	switch name {
	case "hello", "buildInfo", "endSessions", "drop", "killCursors", "getMore", "count": // of those that tell nothing of messages, count is an estimate
	case "insert", "update", "delete", "findAndModify", "createIndexes":
		var c struct {
			WriteConcern struct {
				W string `bson:"w"`
				J bool   `bson:"j"`
			} `bson:"writeConcern"`
		}
		if err := bson.Unmarshal(command, &c); err != nil || c.WriteConcern.W != "majority" || !c.WriteConcern.J {
			m.t.Errorf("%s with write concern %+v, %v", name, c.WriteConcern, err)
		}
	case "find":
		var c struct {
			ReadConcern struct {
				Level string `bson:"level"`
			} `bson:"readConcern"`
		}
		if err := bson.Unmarshal(command, &c); err != nil || c.ReadConcern.Level != "majority" {
			m.t.Errorf("%s with read concern %+v, %v", name, c.ReadConcern, err)
		}
	default:
		m.t.Errorf("command %s is not known to this test", name)
	}
}

// since returns how many commands of each name have come since the call before.
func (m *monitor) since() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := m.counts
	m.counts = map[string]int{}
	return counts
}

func draft(sender, id, text string) parley.Entry {
	d := parley.NewText(id, text)
	return parley.Entry{ID: id, Sender: sender, Device: "dev_a", Role: parley.RoleVisitor, Type: d.Type, Body: d.Body, Digest: []byte(text)}
}

func conversation(n int) parley.Stream { return parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", n)) }

// TestRoundTrips appends to a hundred conversations at once, new ones and such as the
// store has not met since its start, and a second time to those it knows.
func TestRoundTrips(t *testing.T) {
	uri := ferret.Start(t)
	const writers, few = 100, 12
	var s *mongo.Store
	var m *monitor
	reopen := func() {
		if s != nil {
			mustClose(t, s)
		}
		m = newMonitor(t)
		s = openWith(t, mongo.Options{URI: uri, Commands: m.command})
		m.since()
	}
	round := func(name string) map[string]int {
		t.Helper()
		var group sync.WaitGroup
		start := make(chan struct{})
		for n := range writers {
			group.Go(func() {
				<-start
				answers, err := s.Append(t.Context(), conversation(n), []parley.Entry{draft("vis_a", "msg_"+name, "hello")}, parley.ExpectAny)
				if err != nil || answers[0].Err != nil || answers[0].Duplicate {
					t.Errorf("append: %+v, %v", answers, err)
				}
			})
		}
		close(start)
		group.Wait()
		counts := m.since()
		t.Logf("%d appends %s: %v", writers, name, counts)
		return counts
	}
	reopen()
	for _, name := range []string{"new", "known"} {
		if counts := round(name); counts["insert"] > few || len(counts) > 1 {
			t.Errorf("%d appends took %v, want at most %d inserts and nothing else", writers, counts, few)
		}
	}
	reopen()
	defer func() { mustClose(t, s) }()
	if counts := round("unknown"); counts["insert"] > 2*few || counts["find"] > writers+few {
		t.Errorf("%d appends to unknown streams took %v", writers, counts)
	}
}

func mustClose(t testing.TB, s *mongo.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestConnectRoundTrips opens the session of a device that is new, and again that of one
// that comes back: on a database that is slow, each command less lets more of them in.
func TestConnectRoundTrips(t *testing.T) {
	m := newMonitor(t)
	s := openWith(t, mongo.Options{URI: ferret.Start(t), Commands: m.command})
	defer func() { mustClose(t, s) }()
	connect := func(device string) map[string]int {
		t.Helper()
		m.since()
		if _, err := s.Connect(t.Context(), device, false, time.Hour); err != nil {
			t.Fatal(err)
		}
		return m.since()
	}
	connect("ste_a.vis_a.dev_first") // numbers are taken from the database
	for _, c := range []struct {
		name string
		want map[string]int
	}{
		{"new", map[string]int{"find": 1, "insert": 1}},
		{"back", map[string]int{"find": 1, "update": 1}},
	} {
		if diff := cmp.Diff(c.want, connect("ste_a.vis_a.dev_a")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
