package demo

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func openTestJournal(t *testing.T, folder string) *journal {
	t.Helper()
	j, err := openJournal(folder, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return j
}

func TestReportsBuildOnEachOther(t *testing.T) {
	j := openTestJournal(t, t.TempDir())
	j.begin("run-1")
	take := func(keep int, rows ...row) error {
		return j.take(report{
			Run: "run-1", Device: devicePC, User: agentUser,
			Views: []view{{Conversation: conversation, Keep: keep, Rows: rows}},
		})
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(take(0, row{Seq: 1}, row{Seq: 2}))
	early := j.snapshot()
	must(take(1, row{Seq: 3}, row{Seq: 4}))
	want := []row{{Seq: 1}, {Seq: 3}, {Seq: 4}}
	if diff := cmp.Diff(want, j.snapshot().devices[devicePC].views[0].Rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]row{{Seq: 1}, {Seq: 2}}, early.devices[devicePC].views[0].Rows); diff != "" {
		t.Errorf("an earlier snapshot has changed (-want +got):\n%s", diff)
	}
	if err := take(9); !errors.Is(err, errIncomplete) {
		t.Errorf("a report on top of rows that are not here: %v, want %v", err, errIncomplete)
	}
	j.begin("run-2")
	if err := take(0); !errors.Is(err, errSuperseded) {
		t.Errorf("a report of an earlier page load: %v, want %v", err, errSuperseded)
	}
}

func TestReportsThatMakeNoSense(t *testing.T) {
	j := openTestJournal(t, t.TempDir())
	j.begin("run")
	for name, r := range map[string]report{
		"unknown device":   {Run: "run", Device: "toaster"},
		"bad conversation": {Run: "run", Device: devicePC, Views: []view{{Conversation: "a/b"}}},
		"nobody's message": {Run: "run", Device: devicePC, Sent: []settled{{Conversation: conversation, ID: "m1"}}},
		"message without id": {
			Run: "run", Device: devicePC, User: agentUser, Acked: []settled{{Conversation: conversation}},
		},
	} {
		if err := j.take(r); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// The promises hold beyond a restart of the demo, so its journal does too.
func TestJournalIsKept(t *testing.T) {
	folder := t.TempDir()
	first := openTestJournal(t, folder)
	first.begin("run")
	told := report{
		Run: "run", Device: deviceVisitor, User: visitorUser,
		Sent:  []settled{{Conversation: conversation, ID: "m1", Text: "hello"}, {Conversation: conversation, ID: "m2", Text: "again"}},
		Acked: []settled{{Conversation: conversation, ID: "m1", Seq: 2}, {Conversation: conversation, ID: "never sent", Seq: 9}},
	}
	for range 2 {
		if err := first.take(told); err != nil {
			t.Fatal(err)
		}
	}
	want := first.snapshot().senders
	if len(want) != 3 {
		t.Errorf("%d records, want two sent and one acknowledged: %+v", len(want), want)
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	second := openTestJournal(t, folder)
	if diff := cmp.Diff(want, second.snapshot().senders); diff != "" {
		t.Errorf("after opening it again (-want +got):\n%s", diff)
	}
}
