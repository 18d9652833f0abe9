package checker_test

import (
	"slices"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

func amendment(seq int64, sender string, kind parley.EntryType, body any) parley.Entry {
	return parley.Entry{Seq: seq, Sender: sender, ID: "amends-" + string(rune('a'+seq)), Type: kind, Body: must(body)}
}

func edit(seq int64, sender string, of int64, text string) parley.Entry {
	return amendment(seq, sender, parley.EntryEdit, parley.EditBody{Seq: of, Text: text})
}

func del(seq int64, sender string, of int64) parley.Entry {
	return amendment(seq, sender, parley.EntryDelete, parley.DeleteBody{Seq: of})
}

// sentAs is the journal line of the device that sent a stored entry.
func sentAs(e parley.Entry) checker.Record {
	return checker.Record{Device: "phone", User: e.Sender, Event: checker.Sent, Conversation: conv, ID: e.ID, Type: e.Type, Body: e.Body}
}

func ackedAs(e parley.Entry) checker.Record {
	return checker.Record{Device: "phone", Event: checker.Acked, Conversation: conv, ID: e.ID, Type: e.Type, Seq: e.Seq}
}

func shownAs(e parley.Entry) checker.Record {
	r := shown(e)
	r.Redacted = e.Redacted
	return r
}

func TestEditsAndDeletes(t *testing.T) {
	opened := entry(1, parley.SenderSystem, "bridge:1")
	a := entry(2, "vis_1", "message-a")
	better, gone := edit(3, "vis_1", 2, "better"), del(4, "vis_1", 2)
	noted := []checker.Record{sent(a.ID), sentAs(better), ackedAs(better), sentAs(gone), ackedAs(gone)}
	blank := []parley.Entry{opened, a.Redact(), better.Redact(), gone}
	show := func(entries ...parley.Entry) []checker.Record {
		all := append(slices.Clone(noted), follows(0))
		for _, e := range entries {
			all = append(all, shownAs(e))
		}
		return all
	}
	forged := func(e parley.Entry) parley.Entry { e.Body = must(map[string]any{"text": "forged"}); return e }
	judge(t, []verdict{
		{
			"all is well, for who saw it all and for who came later",
			append(show(opened, a, better, gone), onDevice("late", follows(0)), onDevice("late", shownAs(opened)),
				onDevice("late", shownAs(a.Redact())), onDevice("late", shownAs(better.Redact())), onDevice("late", shownAs(gone))),
			stored(blank...),
			checker.Report{Sent: 1, Edits: 2, Shown: 8},
		},
		{
			"edited, not deleted",
			[]checker.Record{sent(a.ID), sentAs(better), ackedAs(better), follows(0), shownAs(opened), shownAs(a), shownAs(better)},
			stored(opened, a, better),
			checker.Report{Sent: 1, Edits: 1, Shown: 3},
		},
		{
			"acknowledged, not stored",
			noted, stored(opened, a, better),
			checker.Report{Sent: 1, Edits: 2, Lost: 1},
		},
		{
			"stored twice",
			noted, stored(append(slices.Clone(blank), func() parley.Entry { e := gone; e.Seq = 5; return e }())...),
			checker.Report{Sent: 1, Edits: 2, Doubled: 1, Reordered: 1},
		},
		{
			"deleted, and the text is still stored",
			noted, stored(opened, a, better.Redact(), gone),
			checker.Report{Sent: 1, Edits: 2, Changed: 1},
		},
		{
			"deleted, and its edit is still stored",
			noted, stored(opened, a.Redact(), better, gone),
			checker.Report{Sent: 1, Edits: 2, Changed: 1},
		},
		{
			"called deleted, with a text",
			noted, stored(opened, forged(a.Redact()), better.Redact(), gone),
			checker.Report{Sent: 1, Edits: 2, Changed: 1},
		},
		{
			"blanked, and nobody has deleted it",
			[]checker.Record{sent(a.ID)}, stored(opened, a.Redact()),
			checker.Report{Sent: 1, Lost: 1},
		},
		{
			"edited after it was deleted",
			[]checker.Record{sent(a.ID), sentAs(gone), sentAs(edit(5, "vis_1", 2, "again"))},
			stored(opened, a.Redact(), entry(3, "vis_2", "other"), gone, edit(5, "vis_1", 2, "again").Redact()),
			checker.Report{Sent: 1, Reordered: 1},
		},
		{
			"edited by somebody else",
			[]checker.Record{sent(a.ID)}, stored(opened, a, edit(3, "vis_2", 2, "mine")),
			checker.Report{Sent: 1, Unexplained: 1},
		},
		{
			"an edit of what is no message",
			nil, stored(opened, edit(2, "vis_2", 1, "mine")),
			checker.Report{Unexplained: 1},
		},
		{
			"a device shows a deleted message with another text",
			show(opened, forged(a), better, gone), stored(blank...),
			checker.Report{Sent: 1, Edits: 2, Shown: 4, Changed: 1},
		},
		{
			"a device shows as deleted what is not",
			[]checker.Record{sent(a.ID), sentAs(better), follows(0), shownAs(opened), shownAs(a.Redact()), shownAs(better)},
			stored(opened, a, better),
			checker.Report{Sent: 1, Shown: 3, Changed: 2}, // the entry, and what it comes to
		},
		{
			"a device lacks the delete, and shows the text for ever",
			show(opened, a, better), stored(blank...),
			checker.Report{Sent: 1, Edits: 2, Shown: 3, Lost: 1, Changed: 1},
		},
		{
			"a device shows the edits in the wrong order",
			[]checker.Record{
				sent(a.ID), sentAs(better), sentAs(edit(4, "vis_1", 2, "best")), follows(0),
				shownAs(opened), shownAs(a), shownAs(edit(4, "vis_1", 2, "best")), shownAs(better),
			},
			stored(opened, a, better, edit(4, "vis_1", 2, "best")),
			checker.Report{Sent: 1, Shown: 4, Reordered: 1, Changed: 1},
		},
	})
}
