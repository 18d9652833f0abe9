package demo

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

const (
	conversation = "cnv_1"
	visitorUser  = "usr_1"
	agentUser    = "agt_1"
)

// stored is a log of n messages of the visitor behind the entry that opened the
// conversation: m2 at seq 2, m3 at seq 3 …
func stored(n int) []parley.Entry {
	log := []parley.Entry{{Seq: 1, ID: "opened", Sender: parley.SenderSystem, Type: parley.EntryOpened}}
	for seq := int64(2); seq < int64(n)+2; seq++ {
		id := fmt.Sprint("m", seq)
		log = append(log, parley.Entry{Seq: seq, ID: id, Sender: visitorUser, Type: parley.EntryText, Body: textBody(id)})
	}
	return log
}

// shows is a device that shows the messages at seqs.
func shows(user string, seqs ...int64) deviceState {
	v := view{Conversation: conversation, Complete: true}
	for _, seq := range seqs {
		id := fmt.Sprint("m", seq)
		v.Rows = append(v.Rows, row{Seq: seq, ID: id, Own: user == visitorUser, Text: id})
	}
	return deviceState{user: user, online: true, views: []view{v}}
}

// loadingFrom is a device that shows m<seq>, and has not loaded what is older.
func loadingFrom(user string, seq int64) deviceState {
	d := shows(user, seq)
	d.views[0].Complete = false
	return d
}

func everybody(seqs ...int64) map[deviceName]deviceState {
	return map[deviceName]deviceState{
		deviceVisitor: shows(visitorUser, seqs...), devicePC: shows(agentUser, seqs...), deviceTablet: shows(agentUser, seqs...),
	}
}

func with(devices map[deviceName]deviceState, name deviceName, d deviceState) map[deviceName]deviceState {
	devices[name] = d
	return devices
}

// sent are the journal lines of the visitor for m2 to the last, the first acked
// of which are acknowledged.
func sent(last, acked int64) (records []checker.Record) {
	for seq := int64(2); seq <= last; seq++ {
		m := settled{Conversation: conversation, ID: fmt.Sprint("m", seq), Text: fmt.Sprint("m", seq), Seq: seq}
		records = append(records, m.record("visitor/"+visitorUser, visitorUser, checker.Sent))
		if seq < acked+2 {
			records = append(records, m.record("visitor/"+visitorUser, visitorUser, checker.Acked))
		}
	}
	return records
}

func TestVerdict(t *testing.T) {
	other := stored(3)
	other[3].ID, other[3].Sender, other[3].Body = "another", "agt_2", textBody("another")
	twice := append(stored(2), parley.Entry{Seq: 4, ID: "m3", Sender: visitorUser, Type: parley.EntryText, Body: textBody("m3")})
	for _, test := range []struct {
		name    string
		log     []parley.Entry
		devices map[deviceName]deviceState
		senders []checker.Record
		overdue deviceName
		want    Score
	}{
		{name: "nothing yet"},
		{
			name: "all agree", log: stored(3), devices: everybody(2, 3, 4), senders: sent(4, 3),
			want: Score{Sent: 3, Acked: 3, Stored: 3, Messages: 3, Agreed: true},
		},
		{
			name: "sent, on its way", log: stored(2), devices: everybody(2, 3), senders: sent(4, 2),
			want: Score{Sent: 3, Acked: 2, Stored: 2, Messages: 2, InFlight: 1},
		},
		{
			name: "one device is behind", log: stored(3), devices: with(everybody(2, 3, 4), devicePC, shows(agentUser, 2)), senders: sent(4, 3),
			want: Score{Sent: 3, Acked: 3, Stored: 3, Messages: 3, InFlight: 2},
		},
		{
			name: "behind for too long", log: stored(3), devices: with(everybody(2, 3, 4), devicePC, shows(agentUser, 2)), senders: sent(4, 3), overdue: devicePC,
			want: Score{Sent: 3, Acked: 3, Stored: 3, Messages: 3, Lost: 2},
		},
		{
			name: "a hole on a screen", log: stored(3), devices: with(everybody(2, 3, 4), deviceTablet, shows(agentUser, 2, 4)), senders: sent(4, 3),
			want: Score{Sent: 3, Acked: 3, Stored: 3, Messages: 3, Lost: 1},
		},
		{
			name: "twice on a screen", log: stored(3), devices: with(everybody(2, 3, 4), deviceTablet, shows(agentUser, 2, 3, 3, 4)), senders: sent(4, 3),
			want: Score{Sent: 3, Acked: 3, Stored: 3, Messages: 3, Doubled: 1},
		},
		{
			name: "another order on a screen", log: stored(3), devices: with(everybody(2, 3, 4), devicePC, shows(agentUser, 3, 2, 4)), senders: sent(4, 3),
			want: Score{Sent: 3, Acked: 3, Stored: 3, Messages: 3, Reordered: 1},
		},
		{
			name: "acknowledged and not stored", log: stored(2), devices: everybody(2, 3), senders: sent(4, 3),
			want: Score{Sent: 3, Acked: 3, Stored: 2, Messages: 2, Lost: 1},
		},
		{
			name: "stored twice", log: twice, devices: everybody(2, 3), senders: sent(3, 2),
			want: Score{Sent: 2, Acked: 2, Stored: 3, Messages: 3, InFlight: 1, Doubled: 1},
		},
		{
			name: "sent by another person", log: other, devices: everybody(2, 3), senders: sent(3, 2),
			want: Score{Sent: 2, Acked: 2, Stored: 3, Elsewhere: 1, Messages: 3, InFlight: 1},
		},
		{
			name: "sent, and the report is on its way", log: stored(3), devices: with(everybody(2, 3, 4), deviceVisitor, shows(visitorUser, 2, 3)), senders: sent(3, 2),
			want: Score{Sent: 2, Acked: 2, Stored: 2, Messages: 3, InFlight: 1},
		},
		{
			name: "sent by another program as the same user", log: stored(3), devices: everybody(2, 3, 4), senders: sent(3, 2),
			want: Score{Sent: 2, Acked: 2, Stored: 3, Elsewhere: 1, Messages: 3, Agreed: true},
		},
		{
			name: "still loading what is older", log: stored(2), devices: with(everybody(2, 3), devicePC, loadingFrom(agentUser, 3)), senders: sent(3, 2),
			want: Score{Sent: 2, Acked: 2, Stored: 2, Messages: 2, Loading: []deviceName{devicePC}},
		},
		{
			name: "an earlier visitor's", log: stored(2), senders: sent(3, 2),
			devices: map[deviceName]deviceState{deviceVisitor: {user: "usr_2", views: []view{{Conversation: "cnv_2"}}}, deviceTablet: shows(agentUser, 2, 3)},
			want:    Score{Sent: 2, Acked: 2, Stored: 2, Earlier: 2},
		},
		{
			name: "not opened everywhere", log: stored(1), devices: with(everybody(2), deviceTablet, deviceState{user: agentUser}), senders: sent(2, 1),
			want: Score{Sent: 1, Acked: 1, Stored: 1, Messages: 1, Waiting: []deviceName{deviceTablet}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := evidence{snapshot: snapshot{devices: test.devices, senders: test.senders}, overdue: map[deviceName]bool{test.overdue: true}}
			if test.log != nil {
				e.log = []checker.Stream{{Conversation: conversation, Entries: test.log}}
			}
			got := judge(e)
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(Score{}, "Devices", "Examples")); diff != "" {
				t.Errorf("verdict (-want +got):\n%s\n%v", diff, got.Examples)
			}
			wrong := got.Lost+got.Doubled+got.Reordered > 0
			if wrong != (len(got.Examples) > 0) {
				t.Errorf("examples: %q", got.Examples)
			}
		})
	}
}
