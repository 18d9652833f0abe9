package bridge_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/sqlite"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(amendDir); dir != "" {
		if err := amendChild(dir); err != nil {
			fmt.Println("error", err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const site = "s"

var (
	ann   = parley.Identity{Site: site, User: "vis_ann", Device: "dev_1", Role: parley.RoleVisitor, Name: "Ann"}
	bob   = parley.Identity{Site: site, User: "vis_bob", Device: "dev_1", Role: parley.RoleVisitor}
	lilei = parley.Identity{Site: site, User: "agt_lilei", Device: "dev_pc", Role: parley.RoleAgent, Name: "Li Lei"}
	hanmm = parley.Identity{Site: site, User: "agt_hanmm", Device: "dev_pc", Role: parley.RoleAgent, Name: "Han Meimei"}
	boss  = parley.Identity{Site: site, User: "agt_boss", Device: "dev_pc", Role: parley.RoleSupervisor}
)

// world is a bridge on a real store.
type world struct {
	*testing.T
	dir    string
	store  *sqlite.Store
	bridge *bridge.Bridge
	seen   *witness

	options   bridge.Options
	observers []bridge.Observer // beside the witness
	later     atomic.Int64      // how far the store's clock is ahead
	now       func() time.Time
}

// newWorld has visitors who may open as many conversations as they like.
func newWorld(t *testing.T) *world {
	return newWorldWith(t, bridge.Options{NewConversations: 10_000, SearchTime: time.Minute})
}

func newWorldWith(t *testing.T, o bridge.Options) *world {
	w := &world{T: t, dir: t.TempDir(), options: o}
	w.open()
	t.Cleanup(w.close)
	return w
}

func (w *world) open() {
	w.Helper()
	if w.now == nil {
		w.now = func() time.Time { return time.Now().Add(time.Duration(w.later.Load())) }
	}
	store, err := sqlite.Open(w.Context(), sqlite.Options{Dir: w.dir, Now: w.now})
	if err != nil {
		w.Fatal(err)
	}
	w.store, w.seen = store, &witness{}
	if w.bridge, err = bridge.New(w.Context(), store, w.options, append(w.observers, w.seen)...); err != nil {
		w.Fatal(err)
	}
}

func (w *world) close() {
	w.Helper()
	if w.store == nil {
		return
	}
	if err := w.bridge.Close(); err != nil {
		w.Error(err)
	}
	w.closeStore()
}

func (w *world) closeStore() {
	w.Helper()
	if err := w.store.Close(); err != nil {
		w.Error(err)
	}
	w.store = nil
}

func draft(n int) parley.Draft {
	return parley.NewText(fmt.Sprintf("msg_%05d", n), fmt.Sprintf("text %d", n))
}

// say records texts and expects them to be accepted.
func (w *world) say(who parley.Identity, conversation string, drafts ...parley.Draft) []parley.Appended {
	w.Helper()
	answers, err := w.bridge.Record(w.Context(), who, conversation, drafts)
	if err != nil {
		w.Fatal(err)
	}
	for i, a := range answers {
		if a.Err != nil {
			w.Fatalf("draft %d refused: %v", i, a.Err)
		}
	}
	return answers
}

// refused records one text and expects a refusal.
func (w *world) refused(who parley.Identity, conversation string, d parley.Draft, code parley.Code) {
	w.Helper()
	answers, err := w.bridge.Record(w.Context(), who, conversation, []parley.Draft{d})
	if err != nil {
		w.Fatal(err)
	}
	if e := parley.ErrorOf(answers[0].Err); e == nil || e.Code != code || e.ID != d.ID {
		w.Fatalf("answer is %v, want %s about %s", answers[0].Err, code, d.ID)
	}
}

func (w *world) log(conversation string) []parley.Entry {
	w.Helper()
	entries, err := w.store.Read(w.Context(), parley.MessagesOf(site, conversation), 0, 10_000)
	if err != nil {
		w.Fatal(err)
	}
	for i, e := range entries {
		if e.Seq != int64(i+1) {
			w.Fatalf("seq %d at position %d", e.Seq, i+1)
		}
	}
	return entries
}

func (w *world) expectTypes(conversation string, want ...parley.EntryType) {
	w.Helper()
	var got []parley.EntryType
	for _, e := range w.log(conversation) {
		got = append(got, e.Type)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.Fatalf("log of %s is %v, want %v", conversation, got, want)
	}
}

func (w *world) claim(who parley.Identity, conversation string) parley.Conversation {
	w.Helper()
	c, err := w.bridge.Claim(w.Context(), who, conversation)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func expectCode(t *testing.T, err error, code parley.Code) {
	t.Helper()
	if e := parley.ErrorOf(err); e == nil || e.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}

// eventually polls until check returns "" or time is up.
func (w *world) eventually(check func() string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
	defer cancel()
	for {
		why := check()
		if why == "" {
			return
		}
		select {
		case <-ctx.Done():
			w.Fatal(why)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// witness is an observer that remembers.
type witness struct {
	mu       sync.Mutex
	changes  []parley.Conversation
	decided  int
	advanced map[parley.Stream][]int64
	followed []int64
	order    []string
}

func (s *witness) Changed(c parley.Conversation, decided bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, c)
	if decided {
		s.decided++
	}
	s.order = append(s.order, fmt.Sprintf("changed %s %d", c.Stream(), c.Head))
}

func (s *witness) Noted(c parley.Conversation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = append(s.order, fmt.Sprintf("noted %s", c.Stream()))
}

func (s *witness) Marked(c parley.Conversation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = append(s.order, fmt.Sprintf("marked %s", c.Stream()))
}

func (s *witness) Advanced(stream parley.Stream, seq int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.advanced == nil {
		s.advanced = map[parley.Stream][]int64{}
	}
	s.advanced[stream] = append(s.advanced[stream], seq)
	s.order = append(s.order, fmt.Sprintf("advanced %s %d", stream, seq))
}

func (s *witness) Followed(at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.followed = append(s.followed, at)
}

func (s *witness) head(stream parley.Stream) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.advanced[stream]); n > 0 {
		return s.advanced[stream][n-1]
	}
	return 0
}
