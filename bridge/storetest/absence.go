package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-chat/parley"
)

// clock is a time that a test sets.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// A session lives as long as its device asked, counted from the end of the
// connection, to the second.
func (s restSuite) sessionExpires(t *testing.T) {
	c := &clock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	st := s.open(t, t.TempDir(), c.now)
	defer func() { must(t, st.Close()) }()
	sub := parley.Subscription{Filter: "p1/ste_a/c/+/messages", QoS: 1}
	first := connect(t, st, device, false)
	must(t, st.SaveSubscription(testContext(t), device, first.Generation, save(sub, cursor("a", "epo_a", 4))))
	c.at = c.at.Add(48 * time.Hour) // connected all the while
	must(t, st.Leave(testContext(t), parley.SessionEnd{Device: device, Generation: first.Generation, Expiry: time.Hour}))

	c.at = c.at.Add(time.Hour - time.Second)
	second := connect(t, st, device, false)
	equal(t, "a second before", second.Present, true)
	must(t, st.Leave(testContext(t), parley.SessionEnd{Device: device, Generation: first.Generation, Expiry: time.Second})) // of the older connection
	c.at = c.at.Add(time.Minute)
	equal(t, "an older connection's end", connect(t, st, device, false).Present, true)

	third := connect(t, st, device, false)
	must(t, st.Leave(testContext(t), parley.SessionEnd{Device: device, Generation: third.Generation, Expiry: time.Hour}))
	c.at = c.at.Add(time.Hour)
	fourth := connect(t, st, device, false)
	equal(t, "on the second", fourth.Present, false)
	equal(t, "subscriptions of an expired session", len(fourth.Subscriptions), 0)
	equal(t, "cursors of an expired session", len(cursors(t, st, device, "a")), 0)
}

// No session ends before its time because the clock was wrong for a while, ahead or
// behind, and was put right; with a restart in between or without.
func (s restSuite) wrongClock(t *testing.T) {
	for name, wrong := range map[string]time.Duration{"ahead": 2 * time.Hour, "behind": -2 * time.Hour} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %t", name, restart), func(t *testing.T) {
				c := &clock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
				dir := t.TempDir()
				st := s.open(t, dir, c.now)
				defer func() { must(t, st.Close()) }()
				leave := func(device string) {
					must(t, st.Leave(testContext(t), parley.SessionEnd{Device: device, Generation: connect(t, st, device, false).Generation, Expiry: time.Hour}))
				}
				jump := func(d time.Duration) {
					c.at = c.at.Add(d)
					if restart {
						must(t, st.Close())
						st = s.open(t, dir, c.now)
					}
					_, err := st.Append(testContext(t), "ste_a/c/cnv_a/messages", []parley.Entry{{ID: c.at.String(), Sender: "vis_a", Type: parley.EntryText}}, parley.ExpectAny)
					must(t, err)
				}
				jump(0)
				leave("ste_a.vis_a.dev_before")
				jump(wrong)
				leave("ste_a.vis_b.dev_meanwhile")
				jump(-wrong + time.Hour - time.Second)
				_, err := st.Sweep(testContext(t), 10)
				must(t, err)
				for _, device := range []string{"ste_a.vis_a.dev_before", "ste_a.vis_b.dev_meanwhile"} {
					equal(t, device, connect(t, st, device, false).Present, true)
				}
			})
		}
	}
}

// Sessions that have expired are deleted, those that have not are left alone, and
// after a crash everybody counts as away from the restart on.
func (s restSuite) sweep(t *testing.T) {
	c := &clock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	st := s.open(t, dir, c.now)
	var gone []parley.Session
	for _, name := range []string{"ste_a.vis_a.dev_a", "ste_a.vis_b.dev_b", "ste_a.vis_c.dev_c"} {
		session := connect(t, st, name, false)
		must(t, st.SaveSubscription(testContext(t), name, session.Generation, save(parley.Subscription{Filter: "f"}, cursor("a", "epo_a", 4))))
		gone = append(gone, session)
	}
	must(t, st.Leave(testContext(t), parley.SessionEnd{Device: gone[0].Device, Generation: gone[0].Generation, Expiry: time.Minute}))
	must(t, st.Leave(testContext(t), parley.SessionEnd{Device: gone[1].Device, Generation: gone[1].Generation, Expiry: time.Minute}))
	c.at = c.at.Add(time.Minute)
	sweep := func(limit, want int) {
		t.Helper()
		n, err := st.Sweep(testContext(t), limit)
		must(t, err)
		equal(t, "swept", n, want)
	}
	sweep(1, 1)
	sweep(10, 1)
	sweep(10, 0)
	equal(t, "cursors of a swept device", len(cursors(t, st, gone[0].Device, "a")), 0)
	equal(t, "cursors of the one that stays", len(cursors(t, st, gone[2].Device, "a")), 1)
	must(t, st.Close()) // the third is still connected, as in a crash

	c.at = c.at.Add(time.Minute)
	st = s.open(t, dir, c.now)
	defer func() { must(t, st.Close()) }()
	must(t, st.AllLeft(testContext(t)))
	c.at = c.at.Add(time.Hour - time.Second)
	sweep(10, 0)
	c.at = c.at.Add(time.Second)
	sweep(10, 1)
}

// The next connection learns where the identifiers of the one before ended, if
// that ended in order.
func (s restSuite) lastIdentifier(t *testing.T) {
	st := s.store(t)
	session := connect(t, st, device, false)
	must(t, st.Leave(testContext(t), parley.SessionEnd{Device: device, Generation: session.Generation, Expiry: time.Hour, LastID: 65535}))
	equal(t, "after an end", connect(t, st, device, false).LastID, uint16(65535))
	equal(t, "after none", connect(t, st, device, false).LastID, uint16(0))
}

// What a device has seen rises with its cursors, and never falls.
func (s restSuite) seen(t *testing.T) {
	st := s.store(t)
	session := connect(t, st, device, false)
	g := session.Generation
	for _, step := range []struct{ seen, generation int64 }{{100, g}, {90, g}, {0, g}, {200, g - 1}} {
		must(t, st.SaveCursors(testContext(t), []parley.CursorSave{{Device: device, Generation: step.generation, Seen: step.seen}}))
	}
	equal(t, "seen", connect(t, st, device, false).Seen, int64(100))
	g = connect(t, st, device, false).Generation
	reset := save(parley.Subscription{Filter: "f"})
	reset.Reset = true
	must(t, st.SaveSubscription(testContext(t), device, g, reset))
	equal(t, "seen after a reset", connect(t, st, device, false).Seen, int64(0))
	equal(t, "seen by a clean session", connect(t, st, device, true).Seen, int64(0))
}

// Readers find what has changed by server time, so it never falls: not while the
// store is open, and not when the clock was set back while it was closed.
func (s restSuite) serverTime(t *testing.T) {
	c := &clock{at: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	last := int64(0)
	append1 := func(st Rest, id string) {
		t.Helper()
		added, err := st.Append(testContext(t), "ste_a/c/cnv_a/messages", []parley.Entry{{ID: id, Sender: "vis_a", Type: parley.EntryText}}, parley.ExpectAny)
		must(t, err)
		if at := added[0].Entry.At; at < last {
			t.Errorf("server time fell from %d to %d", last, at)
		} else {
			last = at
		}
	}
	st := s.open(t, dir, c.now)
	append1(st, "msg_00000001")
	c.at = c.at.Add(-time.Hour)
	append1(st, "msg_00000002")
	must(t, st.Close())
	st = s.open(t, dir, c.now)
	append1(st, "msg_00000003")
	c.at = c.at.Add(2 * time.Hour)
	append1(st, "msg_00000004")
	must(t, st.Close())
	if want := c.at.UnixMilli(); last != want {
		t.Errorf("server time is %d after the clock has caught up, want %d", last, want)
	}
}
