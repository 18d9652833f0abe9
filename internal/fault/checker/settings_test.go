package checker_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

const reader = "agt_1"

func marking(id string, delivered, read int64) checker.Record {
	return checker.Record{Device: "desk", User: reader, Event: checker.Sent, Conversation: conv, ID: id, Type: parley.EntryMarked, Delivered: delivered, Read: read}
}

func markAcked(id string) checker.Record {
	return checker.Record{Device: "desk", User: reader, Event: checker.Acked, Conversation: conv, ID: id, Type: parley.EntryMarked}
}

func viewed(delivered, read int64) checker.Record {
	return checker.Record{Device: "desk", User: reader, Event: checker.Viewed, Conversation: conv, Sender: reader, Delivered: delivered, Read: read}
}

func must(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

func markedEntry(seq, delivered, read int64) parley.Entry {
	return parley.Entry{
		Seq: seq, Sender: reader, ID: "marked:" + string(rune('a'+seq)), Type: parley.EntryMarked,
		Body: must(parley.MarkedBody{Conversation: conv, Delivered: delivered, Read: read}),
	}
}

func setBody(value string, basedOn int64) json.RawMessage {
	return must(parley.SetBody{Key: "draft:cnv_1", Value: must(value), BasedOn: basedOn})
}

func setEntry(seq int64, id, value string, basedOn int64) parley.Entry {
	return parley.Entry{Seq: seq, Sender: reader, ID: id, Type: parley.EntrySet, Body: setBody(value, basedOn)}
}

func setting(id, value string, basedOn int64) checker.Record {
	return checker.Record{Device: "desk", User: reader, Event: checker.Sent, Conversation: reader, ID: id, Type: parley.EntrySet, Body: setBody(value, basedOn)}
}

func setAcked(id string, seq int64) checker.Record {
	return checker.Record{Device: "desk", User: reader, Event: checker.Acked, Conversation: reader, ID: id, Type: parley.EntrySet, Seq: seq}
}

func toldStale(id string, current *parley.Register) checker.Record {
	return checker.Record{Device: "desk", User: reader, Event: checker.Told, Conversation: reader, ID: id, Code: parley.CodeStale, Current: current}
}

func register(value string, version int64) parley.Register {
	return parley.Register{Key: "draft:cnv_1", Value: must(value), Version: version}
}

// conversation is a stored one of three messages, with the reader's mark.
func conversation(delivered, read int64) checker.Stream {
	return checker.Stream{
		Conversation: conv,
		Entries:      []parley.Entry{entry(1, parley.SenderSystem, "bridge:1"), entry(2, "vis_1", "message-a"), entry(3, "vis_1", "message-b")},
		Marks:        &parley.Marks{{User: reader, Delivered: delivered, Read: read}},
	}
}

func events(registers []parley.Register, entries ...parley.Entry) checker.Stream {
	return checker.Stream{Conversation: reader, Entries: entries, Registers: &registers}
}

type verdict struct {
	name     string
	journals []checker.Record
	streams  []checker.Stream
	want     checker.Report
}

func judge(t *testing.T, tests []verdict) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := checker.Check(tt.journals, tt.streams)
			if diff := cmp.Diff(&tt.want, got, cmpopts.IgnoreFields(checker.Report{}, "Examples", "Stored")); diff != "" {
				t.Errorf("report (-want +got):\n%s\n%s", diff, strings.Join(got.Examples, "\n"))
			}
		})
	}
}

func TestMarks(t *testing.T) {
	both := []checker.Record{marking("m1", 2, 1), markAcked("m1"), marking("m2", 3, 3), markAcked("m2")}
	judge(t, []verdict{
		{
			"all is well, and a mark that raises nothing is no entry",
			append(slices.Clone(both), marking("m0", 1, 1), markAcked("m0"), viewed(2, 1), viewed(3, 3)),
			[]checker.Stream{conversation(3, 3), events(nil, markedEntry(1, 2, 1), markedEntry(2, 3, 3))},
			checker.Report{Marks: 3},
		},
		{
			"never acknowledged, not left",
			[]checker.Record{marking("m1", 2, 2)},
			[]checker.Stream{conversation(0, 0)},
			checker.Report{},
		},
		{
			"acknowledged, not left",
			both, []checker.Stream{conversation(3, 2)},
			checker.Report{Marks: 2, Lost: 1},
		},
		{
			"acknowledged twice is one",
			append(slices.Clone(both), markAcked("m2")), []checker.Stream{conversation(3, 3)},
			checker.Report{Marks: 2},
		},
		{
			"acknowledged without being sent",
			[]checker.Record{markAcked("m1")}, []checker.Stream{conversation(3, 3)},
			checker.Report{Unexplained: 1},
		},
		{
			"a mark among the events that is not left",
			[]checker.Record{marking("m1", 3, 3)},
			[]checker.Stream{conversation(2, 2), events(nil, markedEntry(1, 3, 3))},
			checker.Report{Lost: 1},
		},
		{
			"two devices that marked at once stand in any order",
			both, []checker.Stream{conversation(3, 3), events(nil, markedEntry(1, 3, 3), markedEntry(2, 2, 1))},
			checker.Report{Marks: 2},
		},
		{
			"events mark what nobody asked for",
			[]checker.Record{marking("m1", 2, 1)},
			[]checker.Stream{conversation(3, 3), events(nil, markedEntry(1, 3, 3))},
			checker.Report{Unexplained: 1},
		},
		{
			"a device was told that a mark fell",
			[]checker.Record{viewed(3, 2), viewed(3, 1), viewed(3, 3)}, []checker.Stream{conversation(3, 3)},
			checker.Report{Reordered: 1},
		},
		{
			"a device was not told the newest mark",
			[]checker.Record{viewed(2, 2)}, []checker.Stream{conversation(3, 3)},
			checker.Report{Lost: 1},
		},
		{
			"a device was told a mark that is not there",
			[]checker.Record{viewed(3, 3)}, []checker.Stream{conversation(2, 2)},
			checker.Report{Unexplained: 1},
		},
		{
			"a message of one's own is not marked",
			[]checker.Record{
				{Device: "phone", User: "vis_1", Event: checker.Sent, Conversation: conv, ID: "m1", Type: parley.EntryMarked, Delivered: 1},
				sent("message-a"), sent("message-b"),
			},
			[]checker.Stream{func() checker.Stream {
				s := conversation(3, 3)
				s.Marks = &parley.Marks{{User: "vis_1", Delivered: 2, Read: 2}}
				return s
			}()},
			checker.Report{Sent: 2, Lost: 1},
		},
	})
}

func TestRegisters(t *testing.T) {
	two := []checker.Record{setting("set_1", "a", 0), setAcked("set_1", 1), setting("set_2", "b", 1), setAcked("set_2", 2)}
	stored := []parley.Entry{setEntry(1, "set_1", "a", 0), setEntry(2, "set_2", "b", 1)}
	b := []parley.Register{register("b", 2)}
	current := func(value string, version int64) *parley.Register {
		r := register(value, version)
		return &r
	}
	late := setting("set_3", "c", 1)
	judge(t, []verdict{
		{
			"all is well, and who was late was told",
			append(slices.Clone(two), late, toldStale("set_3", current("b", 2))),
			[]checker.Stream{events(b, stored...)},
			checker.Report{Registers: 2, Stale: 1},
		},
		{
			"acknowledged, not stored",
			two, []checker.Stream{events([]parley.Register{register("a", 1)}, stored[0])},
			checker.Report{Registers: 2, Lost: 1},
		},
		{
			"stored twice",
			two, []checker.Stream{events([]parley.Register{register("b", 3)}, stored[0], stored[1], setEntry(3, "set_2", "b", 2))},
			checker.Report{Registers: 2, Doubled: 1},
		},
		{
			"set by somebody who did not know the last version",
			nil, []checker.Stream{events(b, stored[0], setEntry(2, "set_2", "b", 0))},
			checker.Report{Reordered: 1},
		},
		{
			"set by somebody who did not know that it had been emptied",
			nil, []checker.Stream{events([]parley.Register{register("b", 2)}, parley.Entry{
				Seq: 1, Sender: reader, ID: "set_1", Type: parley.EntrySet, Body: must(parley.SetBody{Key: "draft:cnv_1", Value: must(nil)}),
			}, setEntry(2, "set_2", "b", 0))},
			checker.Report{},
		},
		{
			"the register is older than its last entry",
			nil, []checker.Stream{events([]parley.Register{register("a", 1)}, stored...)},
			checker.Report{Lost: 1},
		},
		{
			"the register is gone",
			nil, []checker.Stream{events(nil, stored...)},
			checker.Report{Lost: 1},
		},
		{
			"the register is something else",
			nil, []checker.Stream{events([]parley.Register{register("x", 2)}, stored...)},
			checker.Report{Changed: 1},
		},
		{
			"a register that nobody has set",
			nil, []checker.Stream{events(append(slices.Clone(b), parley.Register{Key: "mute", Value: must(true), Version: 2}), stored...)},
			checker.Report{Unexplained: 1},
		},
		{
			"refused as stale, yet stored",
			append(slices.Clone(two), checker.Record{Device: "desk", User: reader, Event: checker.Refused, Conversation: reader, ID: "set_2"}),
			[]checker.Stream{events(b, stored...)},
			checker.Report{Registers: 2, Unexplained: 1},
		},
		{
			"who was late was told nothing",
			append(slices.Clone(two), late, toldStale("set_3", nil)), []checker.Stream{events(b, stored...)},
			checker.Report{Registers: 2, Stale: 1, Lost: 1},
		},
		{
			"who was late was told what never was",
			append(slices.Clone(two), late, toldStale("set_3", current("x", 2))), []checker.Stream{events(b, stored...)},
			checker.Report{Registers: 2, Stale: 1, Changed: 1},
		},
		{
			"who was late was told of another position",
			append(slices.Clone(two), late, toldStale("set_3", current("b", 7))), []checker.Stream{events(b, stored...)},
			checker.Report{Registers: 2, Stale: 1, Changed: 1},
		},
		{
			"who knew the version was refused",
			append(slices.Clone(two), setting("set_3", "c", 2), toldStale("set_3", current("b", 2))), []checker.Stream{events(b, stored...)},
			checker.Report{Registers: 2, Stale: 1, Unexplained: 1},
		},
		{
			"a refusal of what was never sent",
			[]checker.Record{toldStale("set_9", current("b", 2))}, []checker.Stream{events(b, stored...)},
			checker.Report{Stale: 1, Unexplained: 1},
		},
	})
}
