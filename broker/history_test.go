package broker_test

import (
	"testing"

	"github.com/parley-chat/parley"
)

// Where history is cut, devices that are there see in the state where it begins, and
// one that was away is sent what it missed without what is gone, so that no seq is
// missing.
func TestCutHistoryReachesDevices(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		visitor := w.visitor()
		id, absent := w.conversation(visitor, 1), w.again(visitor)
		page, away := w.connect(t, visitor, version), w.resume(t, absent, version)
		for _, c := range []*client{page, away} {
			c.follow(c.messagesTopic(id))
		}
		page.follow(page.stateTopic(parley.Any))
		page.expectState(id, func(s parley.State) bool { return s.First == 1 && s.Head == 2 })
		away.ping() // behind the acknowledgements
		w.away(away)
		w.write(visitor, id, 3) // seq 3, 4 and 5
		first, err := w.bridge.CutHistory(t.Context(), parley.MessagesOf(visitor.Identity.Site, id), 4)
		must(t, err)
		if first != 4 {
			t.Fatalf("history begins at %d", first)
		}
		page.expectState(id, func(s parley.State) bool { return s.First == 4 && s.Head == 5 && s.Count == 4 })
		again := w.resume(t, absent, version)
		for seq := int64(3); seq <= 5; seq++ {
			e := again.expectEntry(again.messagesTopic(id))
			if e.Seq != seq || e.Redacted != (seq < 4) || (string(e.Body) == "{}") != e.Redacted {
				t.Errorf("entry %d: %+v", seq, e)
			}
		}
	})
}
