package checker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

const conv = "cnv_1"

func body(text string) json.RawMessage { return parley.NewText("", text).Body }

func entry(seq int64, sender, id string) parley.Entry {
	e := parley.Entry{Seq: seq, Sender: sender, ID: id, Type: parley.EntryText, Body: body(id)}
	if sender == parley.SenderSystem {
		e.Type, e.Body = parley.EntryOpened, nil
	}
	return e
}

func stored(entries ...parley.Entry) []checker.Stream {
	return []checker.Stream{{Conversation: conv, Entries: entries}}
}

func sent(id string) checker.Record {
	return checker.Record{Device: "phone", User: "vis_1", Event: checker.Sent, Conversation: conv, ID: id, Type: parley.EntryText, Body: body(id)}
}

func acked(id string, seq int64) checker.Record {
	return checker.Record{Device: "phone", Event: checker.Acked, Conversation: conv, ID: id, Seq: seq}
}

func refused(id string) checker.Record {
	return checker.Record{Device: "phone", Event: checker.Refused, Conversation: conv, ID: id}
}

func told(id string) checker.Record {
	return checker.Record{Device: "phone", User: "vis_1", Event: checker.Told, Conversation: "vis_1", ID: id, Code: parley.CodeForbidden}
}

func follows(after int64) checker.Record {
	return checker.Record{Device: "tablet", Event: checker.Follows, Conversation: conv, Seq: after}
}

func shown(e parley.Entry) checker.Record {
	return checker.Record{Device: "tablet", Event: checker.Shown, Conversation: conv, Seq: e.Seq, ID: e.ID, Sender: e.Sender, Type: e.Type, Body: e.Body}
}

func TestCheck(t *testing.T) {
	opened := entry(1, parley.SenderSystem, "bridge:1")
	a, b, c := entry(2, "vis_1", "message-a"), entry(3, "vis_1", "message-b"), entry(4, "vis_1", "message-c")
	at := func(e parley.Entry, seq int64) parley.Entry { e.Seq = seq; return e }
	other := func(e parley.Entry) parley.Entry { e.Body = body("something else"); return e }
	messagesOnly := follows(0)
	messagesOnly.MessagesOnly = true

	tests := []struct {
		name     string
		journals []checker.Record
		streams  []checker.Stream
		want     checker.Report
	}{
		{"nothing happened", nil, nil, checker.Report{}},
		{
			"all is well",
			[]checker.Record{sent(a.ID), sent(b.ID), acked(a.ID, 2), sent(b.ID), acked(b.ID, 0), follows(0), shown(opened), shown(a), shown(b)},
			stored(opened, a, b),
			checker.Report{Sent: 2, Acked: 2, Stored: 3, Shown: 3},
		},
		{
			"sent, never acknowledged, not stored",
			[]checker.Record{sent(a.ID)}, nil,
			checker.Report{Sent: 1},
		},
		{
			"sent, never acknowledged, yet stored",
			[]checker.Record{sent(a.ID)}, stored(opened, a),
			checker.Report{Sent: 1, Stored: 2},
		},
		{
			"acknowledged, not stored",
			[]checker.Record{sent(a.ID), acked(a.ID, 2)}, stored(opened),
			checker.Report{Sent: 1, Acked: 1, Stored: 1, Lost: 1},
		},
		{
			"acknowledged by somebody else's entry of the same id",
			[]checker.Record{sent(a.ID), acked(a.ID, 2)}, stored(opened, entry(2, "vis_2", a.ID)),
			checker.Report{Sent: 1, Acked: 1, Stored: 2, Lost: 1},
		},
		{
			"acknowledged at another position",
			[]checker.Record{sent(a.ID), acked(a.ID, 9)}, stored(opened, a),
			checker.Report{Sent: 1, Acked: 1, Stored: 2, Reordered: 1},
		},
		{
			"two acknowledgements disagree",
			[]checker.Record{sent(a.ID), acked(a.ID, 2), acked(a.ID, 3)}, stored(opened, a),
			checker.Report{Sent: 1, Acked: 1, Stored: 2, Reordered: 1},
		},
		{
			"stored twice under two positions",
			[]checker.Record{sent(a.ID), acked(a.ID, 2)}, stored(opened, a, at(a, 3)),
			checker.Report{Sent: 1, Acked: 1, Stored: 3, Doubled: 1},
		},
		{
			"one position stored twice",
			nil, stored(opened, a, at(b, 2)),
			checker.Report{Stored: 3, Doubled: 1},
		},
		{
			"hole in the stream",
			nil, stored(opened, a, c),
			checker.Report{Stored: 3, Gaps: 1},
		},
		{
			"stream does not begin with 1",
			nil, stored(a, b),
			checker.Report{Stored: 2, Gaps: 1},
		},
		{
			"store returns out of order",
			nil, stored(opened, a, c, b),
			checker.Report{Stored: 4, Gaps: 1, Reordered: 1},
		},
		{
			"sender's order not kept",
			[]checker.Record{sent(b.ID), sent(a.ID)}, stored(opened, a, b),
			checker.Report{Sent: 2, Stored: 3, Reordered: 1},
		},
		{
			"stored with other content",
			[]checker.Record{sent(a.ID)}, stored(opened, other(a)),
			checker.Report{Sent: 1, Stored: 2, Changed: 1},
		},
		{
			"refused, yet stored",
			[]checker.Record{sent(a.ID), refused(a.ID)}, stored(opened, a),
			checker.Report{Sent: 1, Stored: 2, Unexplained: 1},
		},
		{
			"refused and not stored",
			[]checker.Record{sent(a.ID), refused(a.ID)}, stored(opened),
			checker.Report{Sent: 1, Stored: 1},
		},
		{
			"acknowledged without a position and refused on errors, as MQTT 3.1.1 does",
			[]checker.Record{sent(a.ID), acked(a.ID, 0), told(a.ID)}, stored(opened),
			checker.Report{Sent: 1, Stored: 1},
		},
		{
			"refused on errors, yet stored",
			[]checker.Record{sent(a.ID), acked(a.ID, 0), told(a.ID)}, stored(opened, a),
			checker.Report{Sent: 1, Stored: 2, Unexplained: 1},
		},
		{
			"acknowledged at a position, refused on errors, not stored",
			[]checker.Record{sent(a.ID), acked(a.ID, 2), told(a.ID)}, stored(opened),
			checker.Report{Sent: 1, Acked: 1, Stored: 1, Lost: 1},
		},
		{
			"acknowledged without being sent",
			[]checker.Record{acked(a.ID, 2)}, nil,
			checker.Report{Acked: 1, Unexplained: 1},
		},
		{
			"stored without being sent",
			[]checker.Record{sent(a.ID)}, stored(opened, a, b),
			checker.Report{Sent: 1, Stored: 3, Unexplained: 1},
		},
		{
			"device lacks the newest",
			[]checker.Record{follows(0), shown(opened), shown(a)}, stored(opened, a, b),
			checker.Report{Stored: 3, Shown: 2, Lost: 1},
		},
		{
			"device lacks one in the middle",
			[]checker.Record{follows(0), shown(opened), shown(b)}, stored(opened, a, b),
			checker.Report{Stored: 3, Shown: 2, Lost: 1, Gaps: 1},
		},
		{
			"device showed nothing at all",
			[]checker.Record{follows(1)}, stored(opened, a, b),
			checker.Report{Stored: 3, Lost: 2},
		},
		{
			"device came later and is owed the rest",
			[]checker.Record{follows(2), shown(b)}, stored(opened, a, b),
			checker.Report{Stored: 3, Shown: 1},
		},
		{
			"device following twice is still owed from the first time on",
			[]checker.Record{follows(1), shown(a), follows(2), shown(b)}, stored(opened, a, b),
			checker.Report{Stored: 3, Shown: 2},
		},
		{
			"device shows messages only",
			[]checker.Record{messagesOnly, shown(a), shown(b)}, stored(opened, a, b),
			checker.Report{Stored: 3, Shown: 2},
		},
		{
			"device showed one twice",
			[]checker.Record{follows(1), shown(a), shown(a), shown(b)}, stored(opened, a, b),
			checker.Report{Stored: 3, Shown: 3, Doubled: 1},
		},
		{
			"device showed two in the wrong order",
			[]checker.Record{follows(1), shown(b), shown(a)}, stored(opened, a, b),
			checker.Report{Stored: 3, Shown: 2, Reordered: 1},
		},
		{
			"device showed other content",
			[]checker.Record{follows(1), shown(other(a))}, stored(opened, a),
			checker.Report{Stored: 2, Shown: 1, Changed: 1},
		},
		{
			"device showed what is not stored",
			[]checker.Record{follows(1), shown(a), shown(b)}, stored(opened, a),
			checker.Report{Stored: 2, Shown: 2, Unexplained: 1},
		},
		{
			"device showed what it does not follow",
			[]checker.Record{shown(a)}, stored(opened, a),
			checker.Report{Stored: 2, Shown: 1, Unexplained: 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := checker.Check(tt.journals, tt.streams)
			if diff := cmp.Diff(&tt.want, got, cmpopts.IgnoreFields(checker.Report{}, "Examples")); diff != "" {
				t.Errorf("report (-want +got):\n%s\n%s", diff, strings.Join(got.Examples, "\n"))
			}
			if got.OK() != (len(got.Examples) == 0) {
				t.Errorf("OK is %v with examples %q", got.OK(), got.Examples)
			}
		})
	}
}

func TestBodiesAreComparedAsJSON(t *testing.T) {
	s := sent("message-a")
	s.Body = json.RawMessage("{\n \"text\" : \"message-a\"}")
	if got := checker.Check([]checker.Record{s}, stored(entry(1, "vis_1", "message-a"))); !got.OK() {
		t.Error(got, got.Examples)
	}
}

func TestExamplesAreBounded(t *testing.T) {
	var journal []checker.Record
	for i := range 1000 {
		id := fmt.Sprintf("message-%d", i)
		journal = append(journal, sent(id), acked(id, 0))
	}
	got := checker.Check(journal, nil)
	if got.Lost != 1000 || len(got.Examples) != 10 {
		t.Errorf("lost %d with %d examples, want 1000 with 10", got.Lost, len(got.Examples))
	}
}

func TestJournalLines(t *testing.T) {
	var j checker.Journal
	j.Add(sent("message-a"))
	j.Add(acked("message-a", 7))
	var lines bytes.Buffer
	if _, err := j.WriteTo(&lines); err != nil {
		t.Fatal(err)
	}
	want := `{"device":"phone","user":"vis_1","event":"sent","conversation":"cnv_1","id":"message-a","type":"text","body":{"text":"message-a"}}
{"device":"phone","event":"acked","conversation":"cnv_1","id":"message-a","seq":7}
`
	if diff := cmp.Diff(want, lines.String()); diff != "" {
		t.Error(diff)
	}
	got, err := checker.ReadJournal(&lines)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(j.Records(), got); diff != "" {
		t.Error(diff)
	}
	if _, err := checker.ReadJournal(strings.NewReader("{}\n\nnot json\n")); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("broken line: %v", err)
	}
}
