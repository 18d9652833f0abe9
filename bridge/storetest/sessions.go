package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// Rest is what a store keeps beside the log: sessions of devices, and what access
// needs.
type Rest interface {
	bridge.Store
	Close() error

	Connect(ctx context.Context, device string, clean bool, expiry time.Duration) (parley.Session, error)
	Cursors(ctx context.Context, device string, streams []parley.Stream) ([]parley.Cursor, error)
	SaveSubscription(ctx context.Context, device string, generation int64, save parley.SubscriptionSave) error
	DeleteSubscription(ctx context.Context, device string, generation int64, filter string, streams []parley.Stream) error
	DeleteMembership(ctx context.Context, device string, generation int64, filter string, keep []parley.Stream) error
	SaveCursors(ctx context.Context, saves []parley.CursorSave) error
	Leave(ctx context.Context, end parley.SessionEnd) error
	AllLeft(ctx context.Context) error
	Sweep(ctx context.Context, limit int) (int, error)

	PutSite(ctx context.Context, site parley.Site) error
	Site(ctx context.Context, id string) (parley.Site, error)
	SiteByKey(ctx context.Context, key string) (parley.Site, error)
	Sites(ctx context.Context) ([]parley.Site, error)
	PutAccount(ctx context.Context, account parley.Account) error
	Account(ctx context.Context, site, id string) (parley.Account, error)
	AccountByEmail(ctx context.Context, site, email string) (parley.Account, error)
	Revoke(ctx context.Context, r parley.Revocation) error
	Revocations(ctx context.Context) ([]parley.Revocation, error)
}

// RunRest runs the contract of Rest. open is as that of Run; now is the store's
// clock.
func RunRest(t *testing.T, open func(t *testing.T, dir string, now func() time.Time) Rest) {
	s := restSuite{open: open}
	t.Run("sessions survive", s.sessionSurvives)
	t.Run("subscriptions have cursors", s.subscriptionCursors)
	t.Run("cursors are raised", s.saveCursors)
	t.Run("cursors of many devices are raised", s.saveManyCursors)
	t.Run("a session that was not to be kept is gone", s.sessionNotKept)
	t.Run("sessions expire", s.sessionExpires)
	t.Run("a wrong clock ends no session", s.wrongClock)
	t.Run("expired sessions are swept", s.sweep)
	t.Run("the last identifier is kept", s.lastIdentifier)
	t.Run("seen never falls", s.seen)
	t.Run("server time never falls", s.serverTime)
	t.Run("racing connects have one winner", s.racingConnects)
	t.Run("sites", s.sites)
	t.Run("accounts", s.accounts)
	t.Run("revocations", s.revocations)
}

type restSuite struct {
	open func(t *testing.T, dir string, now func() time.Time) Rest
}

// store opens a new store that is closed when the test ends.
func (s restSuite) store(t *testing.T) Rest {
	t.Helper()
	st := s.open(t, t.TempDir(), time.Now)
	t.Cleanup(func() { closeStore(t, st) })
	return st
}

const device = "ste_a.vis_a.dev_a"

func connect(t *testing.T, st Rest, device string, clean bool) parley.Session {
	t.Helper()
	session, err := st.Connect(testContext(t), device, clean, time.Hour)
	must(t, err)
	return session
}

// cursors returns the device's cursors in streams, ordered by stream.
func cursors(t *testing.T, st Rest, device string, streams ...parley.Stream) []parley.Cursor {
	t.Helper()
	found, err := st.Cursors(testContext(t), device, streams)
	must(t, err)
	slices.SortFunc(found, func(a, b parley.Cursor) int { return strings.Compare(string(a.Stream), string(b.Stream)) })
	return found
}

func save(sub parley.Subscription, starts ...parley.Cursor) parley.SubscriptionSave {
	return parley.SubscriptionSave{Subscription: sub, Starts: starts}
}

func cursor(stream parley.Stream, epoch string, seq int64) parley.Cursor {
	return parley.Cursor{Stream: stream, Epoch: epoch, Seq: seq}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustRefuse(t *testing.T, err error, code parley.Code) {
	t.Helper()
	if err == nil || parley.ErrorOf(err).Code != code {
		t.Errorf("error %v, want code %s", err, code)
	}
}

func (s restSuite) sessionSurvives(t *testing.T) {
	dir := t.TempDir()
	st := s.open(t, dir, time.Now)
	first := connect(t, st, device, false)
	equal(t, "first", first, parley.Session{Device: device, Generation: first.Generation})
	sub := parley.Subscription{Filter: "p1/ste_a/c/+/messages", QoS: 1}
	must(t, st.SaveSubscription(testContext(t), device, first.Generation, save(sub, cursor("ste_a/c/cnv_a/messages", "epo_a", 4))))
	must(t, st.Close())

	st = s.open(t, dir, time.Now)
	defer func() { must(t, st.Close()) }()
	second := connect(t, st, device, false)
	if second.Generation <= first.Generation {
		t.Errorf("generation %d after %d", second.Generation, first.Generation)
	}
	equal(t, "second", second, parley.Session{
		Device: device, Generation: second.Generation, Present: true,
		Subscriptions: []parley.Subscription{sub},
	})
	equal(t, "cursors", cursors(t, st, device, "ste_a/c/cnv_a/messages", "ste_a/c/cnv_b/messages"), []parley.Cursor{cursor("ste_a/c/cnv_a/messages", "epo_a", 4)})
	third := connect(t, st, device, true)
	equal(t, "clean", third, parley.Session{Device: device, Generation: third.Generation})
	equal(t, "after clean", connect(t, st, device, false).Present, true)

	must(t, st.Leave(testContext(t), parley.SessionEnd{Device: device, Generation: third.Generation})) // it has connected again since
	fourth := connect(t, st, device, false)
	equal(t, "after an older delete", fourth.Present, true)

	must(t, st.Leave(testContext(t), parley.SessionEnd{Device: device, Generation: fourth.Generation}))
	must(t, st.Leave(testContext(t), parley.SessionEnd{Device: device, Generation: fourth.Generation}))
	fifth := connect(t, st, device, false)
	if fifth.Present || fifth.Generation <= fourth.Generation {
		t.Errorf("after delete: %+v, want a higher generation than %d and nothing present", fifth, fourth.Generation)
	}
}

func (s restSuite) subscriptionCursors(t *testing.T) {
	st := s.store(t)
	ctx := testContext(t)
	g := connect(t, st, device, false).Generation
	sub := parley.Subscription{Filter: "p1/ste_a/c/+/messages", QoS: 1}
	must(t, st.SaveSubscription(ctx, device, g, save(sub, cursor("a", "epo_a", 4))))
	sub.QoS = 0
	must(t, st.SaveSubscription(ctx, device, g, save(sub, cursor("a", "epo_a", 9), cursor("b", "epo_a", 2))))
	must(t, st.SaveSubscription(ctx, device, g, save(parley.Subscription{Filter: "other"}, cursor("c", "epo_a", 1))))
	session := connect(t, st, device, false)
	equal(t, "subscriptions", session.Subscriptions, []parley.Subscription{{Filter: "other"}, sub})
	equal(t, "cursors", cursors(t, st, device, "a", "b", "c"), []parley.Cursor{cursor("a", "epo_a", 4), cursor("b", "epo_a", 2), cursor("c", "epo_a", 1)})

	mustRefuse(t, st.SaveSubscription(ctx, device, g, save(sub)), parley.CodeConflict)
	mustRefuse(t, st.DeleteSubscription(ctx, device, g, "other", nil), parley.CodeConflict)
	mustRefuse(t, st.SaveSubscription(ctx, "ste_a.vis_b.dev_b", g, save(sub)), parley.CodeNotFound)
	must(t, st.DeleteSubscription(ctx, device, session.Generation, sub.Filter, []parley.Stream{"a", "b"}))
	session = connect(t, st, device, false)
	equal(t, "subscriptions left", session.Subscriptions, []parley.Subscription{{Filter: "other"}})
	equal(t, "cursors left", cursors(t, st, device, "a", "b", "c"), []parley.Cursor{cursor("c", "epo_a", 1)})

	reset := save(sub, cursor("c", "epo_b", 0), cursor("d", "epo_b", 3))
	reset.Reset = true
	must(t, st.SaveSubscription(ctx, device, session.Generation, reset))
	equal(t, "cursors reset", cursors(t, st, device, "c", "d"), []parley.Cursor{cursor("c", "epo_b", 0), cursor("d", "epo_b", 3)})
	must(t, st.DeleteMembership(ctx, device, session.Generation, sub.Filter, []parley.Stream{"d"}))
	equal(t, "cursors kept", cursors(t, st, device, "c", "d"), []parley.Cursor{cursor("d", "epo_b", 3)})
	must(t, st.DeleteMembership(ctx, device, session.Generation, sub.Filter, nil))
	equal(t, "no cursors", len(cursors(t, st, device, "c", "d")), 0)
}

func (s restSuite) saveCursors(t *testing.T) {
	st := s.store(t)
	const other = "ste_a.vis_b.dev_b" // never connects before the end
	session := connect(t, st, device, false)
	for _, c := range []struct {
		name  string
		older int64 // how much older than the session's the generation is
		save  parley.Cursor
		want  parley.Cursor
	}{
		{"makes", 0, cursor("a", "epo_a", 5), cursor("a", "epo_a", 5)},
		{"raises", 0, cursor("a", "epo_a", 7), cursor("a", "epo_a", 7)},
		{"never lowers", 0, cursor("a", "epo_a", 6), cursor("a", "epo_a", 7)},
		{"ignores an older generation", 1, cursor("a", "epo_a", 9), cursor("a", "epo_a", 7)},
		{"replaces another epoch", 0, cursor("a", "epo_b", 2), cursor("a", "epo_b", 2)},
	} {
		must(t, st.SaveCursors(testContext(t), []parley.CursorSave{
			{Device: device, Generation: session.Generation - c.older, Cursor: c.save},
			{Device: other, Generation: 99, Cursor: c.save},
		}))
		session = connect(t, st, device, false)
		equal(t, c.name, cursors(t, st, device, "a"), []parley.Cursor{c.want})
	}
	equal(t, "cursors of an unknown device", len(cursors(t, st, other, "a")), 0)
}

// The process died before it could delete a session that was to end with its
// connection.
func (s restSuite) sessionNotKept(t *testing.T) {
	st := s.store(t)
	first, err := st.Connect(testContext(t), device, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	sub := parley.Subscription{Filter: "p1/ste_a/c/+/messages", QoS: 1}
	if err := st.SaveSubscription(testContext(t), device, first.Generation, save(sub)); err != nil {
		t.Fatal(err)
	}
	second, err := st.Connect(testContext(t), device, false, time.Hour)
	if err != nil || second.Present || len(second.Subscriptions) != 0 {
		t.Errorf("after a session that was not to be kept: %+v, %v", second, err)
	}
	third, err := st.Connect(testContext(t), device, false, 0)
	if err != nil || !third.Present {
		t.Errorf("after one that was: %+v, %v", third, err)
	}
}

// saveManyCursors saves in one call what is new, what is higher, what is lower and
// what does not count.
func (s restSuite) saveManyCursors(t *testing.T) {
	st := s.store(t)
	ctx := testContext(t)
	var saves []parley.CursorSave
	var names []string
	for i := range 20 {
		name := fmt.Sprintf("ste_a.vis_%d.dev_%d", i, i)
		g := connect(t, st, name, false).Generation
		must(t, st.SaveSubscription(ctx, name, g, save(parley.Subscription{Filter: "f"}, cursor("a", "epo_a", 5))))
		names = append(names, name)
		saves = append(saves,
			parley.CursorSave{Device: name, Generation: g, Cursor: cursor("a", "epo_a", int64(i)), Seen: int64(i)}, // higher, or lower
			parley.CursorSave{Device: name, Generation: g, Cursor: cursor("b", "epo_a", 3)},
			parley.CursorSave{Device: name, Generation: g, Cursor: cursor("b", "epo_a", 2)},
			parley.CursorSave{Device: name, Generation: g - 1, Cursor: cursor("c", "epo_a", 1), Seen: 99})
	}
	for range 2 { // it is idempotent
		must(t, st.SaveCursors(ctx, saves))
		for i, name := range names {
			equal(t, name, cursors(t, st, name, "a", "b", "c"), []parley.Cursor{cursor("a", "epo_a", max(5, int64(i))), cursor("b", "epo_a", 3)})
		}
	}
	for i, name := range names {
		equal(t, "seen by "+name, connect(t, st, name, false).Seen, int64(i))
	}
}

// racingConnects connects one device many times at once. All get generations of
// their own, and the highest is the session's.
func (s restSuite) racingConnects(t *testing.T) {
	st := s.store(t)
	ctx := testContext(t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	given := map[int64]bool{}
	newest := int64(0)
	for range 32 {
		wg.Go(func() {
			session, err := st.Connect(ctx, device, false, time.Hour)
			if err != nil {
				t.Errorf("connect: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			given[session.Generation], newest = true, max(newest, session.Generation)
		})
	}
	wg.Wait()
	equal(t, "generations", len(given), 32)
	must(t, st.SaveSubscription(ctx, device, newest, save(parley.Subscription{Filter: "f"})))
	for g := range given {
		if g != newest {
			mustRefuse(t, st.SaveSubscription(ctx, device, g, save(parley.Subscription{Filter: "f"})), parley.CodeConflict)
		}
	}
}
