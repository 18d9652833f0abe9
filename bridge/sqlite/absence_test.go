package sqlite_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// clock is a time that a test sets.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func openAt(t *testing.T, dir string, c *clock) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Now: c.now})
	must(t, err)
	return s
}

// A session lives as long as its device asked, counted from the end of the
// connection, to the second.
func TestSessionExpires(t *testing.T) {
	c := &clock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	s := openAt(t, t.TempDir(), c)
	defer func() { must(t, s.Close()) }()
	sub := parley.Subscription{Filter: "p1/ste_a/c/+/messages", QoS: 1}
	first := connect(t, s, device, false)
	must(t, s.SaveSubscription(t.Context(), device, first.Generation, save(sub, cursor("a", "epo_a", 4))))
	c.at = c.at.Add(48 * time.Hour) // connected all the while
	must(t, s.Leave(t.Context(), parley.SessionEnd{Device: device, Generation: first.Generation, Expiry: time.Hour}))

	c.at = c.at.Add(time.Hour - time.Second)
	second := connect(t, s, device, false)
	equal(t, "a second before", second.Present, true)
	must(t, s.Leave(t.Context(), parley.SessionEnd{Device: device, Generation: first.Generation, Expiry: time.Second})) // of the older connection
	c.at = c.at.Add(time.Minute)
	equal(t, "an older connection's end", connect(t, s, device, false).Present, true)

	third := connect(t, s, device, false)
	must(t, s.Leave(t.Context(), parley.SessionEnd{Device: device, Generation: third.Generation, Expiry: time.Hour}))
	c.at = c.at.Add(time.Hour)
	fourth := connect(t, s, device, false)
	equal(t, "on the second", fourth.Present, false)
	equal(t, "subscriptions of an expired session", len(fourth.Subscriptions), 0)
	equal(t, "cursors of an expired session", len(cursors(t, s, device, "a")), 0)
}

// No session ends before its time because the clock was wrong for a while, ahead or
// behind, and was put right; with a restart in between or without.
func TestWrongClockEndsNoSession(t *testing.T) {
	for name, wrong := range map[string]time.Duration{"ahead": 2 * time.Hour, "behind": -2 * time.Hour} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %t", name, restart), func(t *testing.T) {
				c := &clock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
				dir := t.TempDir()
				s := openAt(t, dir, c)
				defer func() { must(t, s.Close()) }()
				leave := func(device string) {
					must(t, s.Leave(t.Context(), parley.SessionEnd{Device: device, Generation: connect(t, s, device, false).Generation, Expiry: time.Hour}))
				}
				jump := func(d time.Duration) {
					c.at = c.at.Add(d)
					if restart {
						must(t, s.Close())
						s = openAt(t, dir, c)
					}
					_, err := s.Append(t.Context(), "ste_a/c/cnv_a/messages", []parley.Entry{{ID: c.at.String(), Sender: "vis_a", Type: parley.EntryText}}, parley.ExpectAny)
					must(t, err)
				}
				jump(0)
				leave("ste_a.vis_a.dev_before")
				jump(wrong)
				leave("ste_a.vis_b.dev_meanwhile")
				jump(-wrong + time.Hour - time.Second)
				_, err := s.Sweep(t.Context(), 10)
				must(t, err)
				for _, device := range []string{"ste_a.vis_a.dev_before", "ste_a.vis_b.dev_meanwhile"} {
					equal(t, device, connect(t, s, device, false).Present, true)
				}
			})
		}
	}
}

// Sessions that have expired are deleted, those that have not are left alone, and
// after a crash everybody counts as away from the restart on.
func TestSweep(t *testing.T) {
	c := &clock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	s := openAt(t, dir, c)
	var gone []parley.Session
	for _, name := range []string{"ste_a.vis_a.dev_a", "ste_a.vis_b.dev_b", "ste_a.vis_c.dev_c"} {
		session := connect(t, s, name, false)
		must(t, s.SaveSubscription(t.Context(), name, session.Generation, save(parley.Subscription{Filter: "f"}, cursor("a", "epo_a", 4))))
		gone = append(gone, session)
	}
	must(t, s.Leave(t.Context(), parley.SessionEnd{Device: gone[0].Device, Generation: gone[0].Generation, Expiry: time.Minute}))
	must(t, s.Leave(t.Context(), parley.SessionEnd{Device: gone[1].Device, Generation: gone[1].Generation, Expiry: time.Minute}))
	c.at = c.at.Add(time.Minute)
	sweep := func(limit, want int) {
		t.Helper()
		n, err := s.Sweep(t.Context(), limit)
		must(t, err)
		equal(t, "swept", n, want)
	}
	sweep(1, 1)
	sweep(10, 1)
	sweep(10, 0)
	equal(t, "cursors of a swept device", len(cursors(t, s, gone[0].Device, "a")), 0)
	equal(t, "cursors of the one that stays", len(cursors(t, s, gone[2].Device, "a")), 1)
	must(t, s.Close()) // the third is still connected, as in a crash

	c.at = c.at.Add(time.Minute)
	s = openAt(t, dir, c)
	defer func() { must(t, s.Close()) }()
	must(t, s.AllLeft(t.Context()))
	c.at = c.at.Add(time.Hour - time.Second)
	sweep(10, 0)
	c.at = c.at.Add(time.Second)
	sweep(10, 1)
}

// The next connection learns where the identifiers of the one before ended, if
// that ended in order.
func TestLastIdentifier(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	session := connect(t, s, device, false)
	must(t, s.Leave(t.Context(), parley.SessionEnd{Device: device, Generation: session.Generation, Expiry: time.Hour, LastID: 65535}))
	equal(t, "after an end", connect(t, s, device, false).LastID, uint16(65535))
	equal(t, "after none", connect(t, s, device, false).LastID, uint16(0))
}

// What a device has seen rises with its cursors, and never falls.
func TestSeen(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	session := connect(t, s, device, false)
	g := session.Generation
	for _, step := range []struct{ seen, generation int64 }{{100, g}, {90, g}, {0, g}, {200, g - 1}} {
		must(t, s.SaveCursors(t.Context(), []parley.CursorSave{{Device: device, Generation: step.generation, Seen: step.seen}}))
	}
	equal(t, "seen", connect(t, s, device, false).Seen, int64(100))
	g = connect(t, s, device, false).Generation
	reset := save(parley.Subscription{Filter: "f"})
	reset.Reset = true
	must(t, s.SaveSubscription(t.Context(), device, g, reset))
	equal(t, "seen after a reset", connect(t, s, device, false).Seen, int64(0))
	equal(t, "seen by a clean session", connect(t, s, device, true).Seen, int64(0))
}

// Readers find what has changed by server time, so it never falls: not while the
// store is open, and not when the clock was set back while it was closed.
func TestServerTimeNeverFalls(t *testing.T) {
	c := &clock{at: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	last := int64(0)
	append1 := func(s *sqlite.Store, id string) {
		t.Helper()
		added, err := s.Append(t.Context(), "ste_a/c/cnv_a/messages", []parley.Entry{{ID: id, Sender: "vis_a", Type: parley.EntryText}}, parley.ExpectAny)
		must(t, err)
		if at := added[0].Entry.At; at < last {
			t.Errorf("server time fell from %d to %d", last, at)
		} else {
			last = at
		}
	}
	s := openAt(t, dir, c)
	append1(s, "msg_00000001")
	c.at = c.at.Add(-time.Hour)
	append1(s, "msg_00000002")
	must(t, s.Close())
	s = openAt(t, dir, c)
	append1(s, "msg_00000003")
	c.at = c.at.Add(2 * time.Hour)
	append1(s, "msg_00000004")
	must(t, s.Close())
	if want := c.at.UnixMilli(); last != want {
		t.Errorf("server time is %d after the clock has caught up, want %d", last, want)
	}
}
