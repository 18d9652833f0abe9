package bridge_test

import (
	"slices"
	"sync"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
)

// act is one of several things done in the same moment, and how it was answered.
type act struct {
	by     *replica
	kind   string
	say    parley.Draft
	set    parley.SetDraft
	mark   parley.MarkDraft
	answer parley.Appended
	err    error
}

func (c *crowd) do(a *act, conversation string) {
	switch a.kind {
	case "say":
		var answers []parley.Appended
		if answers, a.err = c.bridge.Record(c.Context(), a.by.who, conversation, []parley.Draft{a.say}); a.err == nil {
			a.answer = answers[0]
		}
	case "set":
		a.answer, a.err = c.bridge.Set(c.Context(), a.by.who, a.set)
	default:
		a.answer, a.err = c.bridge.Mark(c.Context(), a.by.who, conversation, a.mark)
	}
}

// atOnce lets several devices write, mark and set in the same moment. What the
// answers leave open, the order of the marks, must not matter.
func (c *crowd) atOnce(rt *rapid.T) {
	_, id, talk := c.step(rt)
	acts := make([]act, rapid.IntRange(2, 6).Draw(rt, "acts"))
	before := talk.head()
	for i := range acts {
		a := &acts[i]
		a.by = rapid.SampledFrom(c.devices).Draw(rt, "device")
		a.kind = rapid.SampledFrom([]string{"set", "mark", "say"}).Draw(rt, "kind")
		switch {
		case a.kind == "set":
			a.set = c.setDraft(rt, a.by, c.id("set"))
		case a.kind == "say" && talk.status != parley.StatusClosed:
			a.say = c.draft(rt)
		default:
			a.kind, a.mark = "mark", c.markDraft(rt, before+1)
		}
	}
	c.steps.Add(int64(len(acts) - 1))
	var all sync.WaitGroup
	for i := range acts {
		all.Go(func() { c.do(&acts[i], id) })
	}
	all.Wait()
	// What was stored comes in its order, what was refused behind it.
	slices.SortStableFunc(acts, func(a, b act) int {
		if (a.answer.Err == nil) != (b.answer.Err == nil) {
			return map[bool]int{true: -1, false: 1}[a.answer.Err == nil]
		}
		return int(a.answer.Entry.Seq - b.answer.Entry.Seq)
	})
	for _, kind := range []string{"say", "set", "mark"} {
		for _, a := range acts {
			noError(rt, a.err)
			if a.kind == kind {
				c.account(rt, a, talk, before)
			}
		}
	}
}

// account enters into the ledger what was done among other things, when the
// conversation had as many entries as before.
func (c *crowd) account(rt *rapid.T, a act, talk *talk, before int64) {
	refusal := parley.ErrorOf(a.answer.Err)
	switch shelf := c.ledger.shelves[a.by.who.User]; {
	case a.kind == "say":
		if may := talk.say(a.by.who, a.say.ID); may != (refusal == nil) {
			rt.Fatalf("a message by %s: %v", a.by.who.User, refusal)
		}
	case a.kind == "mark" && refusal != nil && a.mark.Delivered > before: // came before the entry that it marks
	case a.kind == "mark":
		if may := talk.mark(a.by.who, a.mark.Delivered, a.mark.Read); may != (refusal == nil) {
			rt.Fatalf("%+v by %s: %v", a.mark, a.by.who.User, refusal)
		}
	case refusal == nil:
		c.judge(rt, shelf, a.set, a.answer)
		shelf.set(a.set, a.answer.Entry.Seq)
	case refusal.Code != parley.CodeStale || refusal.Current == nil || refusal.Current.Version == a.set.BasedOn:
		rt.Fatalf("%+v is refused with %v", a.set, refusal) // it may have come before the others
	}
}
