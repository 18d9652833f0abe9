package sqlite_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
)

const device = "ste_a.vis_a.dev_a"

func connect(t *testing.T, s *sqlite.Store, device string, clean bool) parley.Session {
	t.Helper()
	session, err := s.Connect(t.Context(), device, clean, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// cursors returns the device's cursors in streams, ordered by stream.
func cursors(t *testing.T, s *sqlite.Store, device string, streams ...parley.Stream) []parley.Cursor {
	t.Helper()
	found, err := s.Cursors(t.Context(), device, streams)
	must(t, err)
	slices.SortFunc(found, func(a, b parley.Cursor) int { return strings.Compare(string(a.Stream), string(b.Stream)) })
	return found
}

func save(sub parley.Subscription, starts ...parley.Cursor) parley.SubscriptionSave {
	return parley.SubscriptionSave{Subscription: sub, Starts: starts}
}

func must(t testing.TB, err error) {
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

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func cursor(stream parley.Stream, epoch string, seq int64) parley.Cursor {
	return parley.Cursor{Stream: stream, Epoch: epoch, Seq: seq}
}

func TestSessionSurvives(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	first := connect(t, s, device, false)
	equal(t, "first", first, parley.Session{Device: device, Generation: first.Generation})
	sub := parley.Subscription{Filter: "p1/ste_a/c/+/messages", QoS: 1}
	must(t, s.SaveSubscription(t.Context(), device, first.Generation, save(sub, cursor("ste_a/c/cnv_a/messages", "epo_a", 4))))
	must(t, s.Close())

	s = open(t, dir)
	defer func() { must(t, s.Close()) }()
	second := connect(t, s, device, false)
	if second.Generation <= first.Generation {
		t.Errorf("generation %d after %d", second.Generation, first.Generation)
	}
	equal(t, "second", second, parley.Session{
		Device: device, Generation: second.Generation, Present: true,
		Subscriptions: []parley.Subscription{sub},
	})
	equal(t, "cursors", cursors(t, s, device, "ste_a/c/cnv_a/messages", "ste_a/c/cnv_b/messages"), []parley.Cursor{cursor("ste_a/c/cnv_a/messages", "epo_a", 4)})
	third := connect(t, s, device, true)
	equal(t, "clean", third, parley.Session{Device: device, Generation: third.Generation})
	equal(t, "after clean", connect(t, s, device, false).Present, true)

	must(t, s.Leave(t.Context(), parley.SessionEnd{Device: device, Generation: third.Generation})) // it has connected again since
	fourth := connect(t, s, device, false)
	equal(t, "after an older delete", fourth.Present, true)

	must(t, s.Leave(t.Context(), parley.SessionEnd{Device: device, Generation: fourth.Generation}))
	must(t, s.Leave(t.Context(), parley.SessionEnd{Device: device, Generation: fourth.Generation}))
	fifth := connect(t, s, device, false)
	if fifth.Present || fifth.Generation <= fourth.Generation {
		t.Errorf("after delete: %+v, want a higher generation than %d and nothing present", fifth, fourth.Generation)
	}
}

func TestSubscriptionCursors(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	ctx := t.Context()
	g := connect(t, s, device, false).Generation
	sub := parley.Subscription{Filter: "p1/ste_a/c/+/messages", QoS: 1}
	must(t, s.SaveSubscription(ctx, device, g, save(sub, cursor("a", "epo_a", 4))))
	sub.QoS = 0
	must(t, s.SaveSubscription(ctx, device, g, save(sub, cursor("a", "epo_a", 9), cursor("b", "epo_a", 2))))
	must(t, s.SaveSubscription(ctx, device, g, save(parley.Subscription{Filter: "other"}, cursor("c", "epo_a", 1))))
	session := connect(t, s, device, false)
	equal(t, "subscriptions", session.Subscriptions, []parley.Subscription{{Filter: "other"}, sub})
	equal(t, "cursors", cursors(t, s, device, "a", "b", "c"), []parley.Cursor{cursor("a", "epo_a", 4), cursor("b", "epo_a", 2), cursor("c", "epo_a", 1)})

	mustRefuse(t, s.SaveSubscription(ctx, device, g, save(sub)), parley.CodeConflict)
	mustRefuse(t, s.DeleteSubscription(ctx, device, g, "other", nil), parley.CodeConflict)
	mustRefuse(t, s.SaveSubscription(ctx, "ste_a.vis_b.dev_b", g, save(sub)), parley.CodeNotFound)
	must(t, s.DeleteSubscription(ctx, device, session.Generation, sub.Filter, []parley.Stream{"a", "b"}))
	session = connect(t, s, device, false)
	equal(t, "subscriptions left", session.Subscriptions, []parley.Subscription{{Filter: "other"}})
	equal(t, "cursors left", cursors(t, s, device, "a", "b", "c"), []parley.Cursor{cursor("c", "epo_a", 1)})

	reset := save(sub, cursor("c", "epo_b", 0), cursor("d", "epo_b", 3))
	reset.Reset = true
	must(t, s.SaveSubscription(ctx, device, session.Generation, reset))
	equal(t, "cursors reset", cursors(t, s, device, "c", "d"), []parley.Cursor{cursor("c", "epo_b", 0), cursor("d", "epo_b", 3)})
	must(t, s.DeleteMembership(ctx, device, session.Generation, sub.Filter, []parley.Stream{"d"}))
	equal(t, "cursors kept", cursors(t, s, device, "c", "d"), []parley.Cursor{cursor("d", "epo_b", 3)})
	must(t, s.DeleteMembership(ctx, device, session.Generation, sub.Filter, nil))
	equal(t, "no cursors", len(cursors(t, s, device, "c", "d")), 0)
}

func TestSaveCursors(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	const other = "ste_a.vis_b.dev_b" // never connects before the end
	session := connect(t, s, device, false)
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
		must(t, s.SaveCursors(t.Context(), []parley.CursorSave{
			{Device: device, Generation: session.Generation - c.older, Cursor: c.save},
			{Device: other, Generation: 99, Cursor: c.save},
		}))
		session = connect(t, s, device, false)
		equal(t, c.name, cursors(t, s, device, "a"), []parley.Cursor{c.want})
	}
	equal(t, "cursors of an unknown device", len(cursors(t, s, other, "a")), 0)
}

// The process died before it could delete a session that was to end with its
// connection.
func TestSessionThatWasNotToBeKept(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { _ = s.Close() }()
	const device = "ste_a.vis_a.dev_a"
	first, err := s.Connect(t.Context(), device, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	sub := parley.Subscription{Filter: "p1/ste_a/c/+/messages", QoS: 1}
	if err := s.SaveSubscription(t.Context(), device, first.Generation, save(sub)); err != nil {
		t.Fatal(err)
	}
	second, err := s.Connect(t.Context(), device, false, time.Hour)
	if err != nil || second.Present || len(second.Subscriptions) != 0 {
		t.Errorf("after a session that was not to be kept: %+v, %v", second, err)
	}
	third, err := s.Connect(t.Context(), device, false, 0)
	if err != nil || !third.Present {
		t.Errorf("after one that was: %+v, %v", third, err)
	}
}
