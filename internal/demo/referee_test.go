package demo

import (
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

// What was acknowledged in a conversation whose log has not been read yet is not
// lost: there is nothing to compare it with.
func TestWhileTheLogCannotBeRead(t *testing.T) {
	before := evidence{snapshot: snapshot{run: "r1", senders: sent(4, 3)}}
	opened := snapshot{run: "r1", senders: sent(4, 3), devices: everybody(2, 3, 4)}
	loaded := opened
	loaded.run = "r2"
	for name, now := range map[string]snapshot{"opened since": opened, "the page was loaded again": loaded} {
		r := &referee{changed: func() {}, last: before, settled: true}
		r.whileUnread(now)
		got := r.score()
		if faults := got.Lost + got.Doubled + got.Reordered + got.Wrong; faults != 0 || got.Sent < got.Acked || got.Stored != 0 {
			t.Errorf("%s: %+v; want no faults and nothing stored", name, got)
		}
		if got.Run != now.run || got.Settled != (now.run == before.run) {
			t.Errorf("%s: run %s, settled %v", name, got.Run, got.Settled)
		}
		if !got.Devices[devicePC].Online {
			t.Errorf("%s: a device has told that it is online, and the score does not say so", name)
		}
	}
}

func TestWrittenWhileTheLogCannotBeRead(t *testing.T) {
	r := &referee{changed: func() {}, last: evidence{snapshot: snapshot{run: "r1"}}}
	r.whileUnread(snapshot{run: "r1", senders: sent(3, 0), devices: everybody()})
	if got := r.score(); got.Sent != 2 || got.InFlight != 2 || got.Lost != 0 {
		t.Errorf("%+v; want 2 sent and in flight", got)
	}
}

func TestScoreIsSettledWhenAllHaveTold(t *testing.T) {
	all := map[deviceName]bool{deviceVisitor: true, devicePC: true, deviceTablet: true}
	noPC := map[deviceName]bool{deviceVisitor: true, deviceTablet: true}
	without := everybody(2, 3)
	delete(without, devicePC)
	fresh := with(everybody(), deviceVisitor, deviceState{views: []view{{Conversation: "cnv_2"}}})
	for _, test := range []struct {
		name    string
		devices map[deviceName]deviceState
		plugged map[deviceName]bool
		log     []parley.Entry
		ago     time.Duration
		want    bool
	}{
		{name: "nobody", plugged: all},
		{name: "all", devices: everybody(2, 3), plugged: all, log: stored(2), want: true},
		{name: "one has not told", devices: without, plugged: all, log: stored(2)},
		{name: "one cannot tell", devices: without, plugged: noPC, log: stored(2), want: true},
		{name: "one shows nothing yet", devices: with(everybody(2, 3), devicePC, shows(agentUser)), plugged: all, log: stored(2)},
		{name: "nothing to load", devices: fresh, plugged: all, want: true},
		{name: "one does not tell in time", devices: without, plugged: all, log: stored(2), ago: 2 * loading, want: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &referee{plugged: func(name deviceName) bool { return test.plugged[name] }}
			e := evidence{snapshot: snapshot{run: "r1", began: time.Now().Add(-test.ago), devices: test.devices}}
			if test.log != nil {
				e.log = []checker.Stream{{Conversation: conversation, Entries: test.log}}
			}
			if got := r.allTold(e); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
