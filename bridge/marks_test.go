package bridge_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
)

// mark marks, and expects it to be accepted.
func (w *world) mark(who parley.Identity, conversation string, delivered, read int64) parley.Appended {
	w.Helper()
	a, err := w.bridge.Mark(w.Context(), who, conversation, parley.MarkDraft{Delivered: max(delivered, read), Read: read})
	if err != nil || a.Err != nil {
		w.Fatalf("mark: %v, %v", err, a.Err)
	}
	return a
}

func (w *world) conversation(who parley.Identity, id string) parley.Conversation {
	w.Helper()
	c, err := w.bridge.Conversation(w.Context(), who, id)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// Whoever marks what on which device, in whatever order and however often, also
// over restarts: marks are the highest that were made, and what is unread is what
// the log says.
func TestMarksAreMaxRegisters(t *testing.T) {
	people := []parley.Identity{ann, lilei, boss}
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.say(ann, "c1", draft(1), draft(2))
		w.claim(lilei, "c1")
		head := int64(4) // opened, two messages, assigned
		want := map[string]parley.Mark{ann.User: {User: ann.User, Delivered: 3, Read: 3}}
		raise := func(who parley.Identity, delivered, read int64) {
			m := want[who.User]
			want[who.User] = parley.Mark{User: who.User, Delivered: max(m.Delivered, delivered, read), Read: max(m.Read, read)}
		}
		next := 3
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			who := rapid.SampledFrom(people).Draw(rt, "who")
			who.Device = rapid.SampledFrom([]string{"dev_1", "dev_2", "dev_3"}).Draw(rt, "device")
			switch rapid.SampledFrom([]string{"mark", "mark", "mark", "say", "restart"}).Draw(rt, "step") {
			case "mark":
				delivered, read := rapid.Int64Range(0, head).Draw(rt, "delivered"), rapid.Int64Range(0, head).Draw(rt, "read")
				w.mark(who, "c1", delivered, read)
				raise(who, max(delivered, read), read)
			case "say":
				w.say(who, "c1", draft(next))
				next, head = next+1, head+1
				raise(who, head, head)
			case "restart":
				w.close()
				w.open()
			}
		}
		log := w.log("c1")
		c := w.conversation(boss, "c1")
		for user, m := range want {
			if m.Read > 0 {
				m.Count = log[m.Read-1].Count
			}
			if got := c.Marks.Of(user); got != m && m.Delivered > 0 {
				rt.Fatalf("mark of %s is %+v, want %+v", user, got, m)
			}
		}
		if c.Head != head || c.AgentRead < c.Marks.Of(lilei.User).Read {
			rt.Fatalf("head %d, want %d; agents have read %d", c.Head, head, c.AgentRead)
		}
		w.close()
	})
}

// A mark is no entry of the conversation: its head and its place in lists stay.
// It is one of the marker's events, which tell the other devices.
func TestMarkIsAnEvent(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.say(bob, "c2", draft(1))
	before := w.claim(lilei, "c1")
	if a := w.mark(lilei, "c1", 3, 2); a.Duplicate || a.Entry.Seq != 1 || a.Entry.Stream != parley.EventsOf(site, lilei.User) {
		t.Errorf("stored as %+v", a)
	}
	if a := w.mark(lilei, "c1", 2, 1); !a.Duplicate {
		t.Errorf("what rises nothing is stored as %+v", a)
	}
	after := w.conversation(lilei, "c1")
	want := before
	want.Marks, want.AgentRead, want.ChangedAt = after.Marks, 2, after.ChangedAt
	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("the conversation has changed:\n%s", diff)
	}
	if m := after.Marks.Of(lilei.User); m != (parley.Mark{User: lilei.User, Delivered: 3, Read: 2, Count: 1}) {
		t.Errorf("mark %+v", m)
	}
	events, err := w.store.Read(t.Context(), parley.EventsOf(site, lilei.User), 0, 10)
	if err != nil || len(events) != 1 || events[0].Type != parley.EntryMarked {
		t.Errorf("events %+v, %v", events, err)
	}
}

func TestMarkRefusals(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	for name, test := range map[string]struct {
		who   parley.Identity
		id    string
		draft parley.MarkDraft
		code  parley.Code
	}{
		"a stranger":        {bob, "c1", parley.MarkDraft{Delivered: 1}, parley.CodeNotFound},
		"no conversation":   {ann, "c2", parley.MarkDraft{Delivered: 1}, parley.CodeNotFound},
		"beyond the head":   {ann, "c1", parley.MarkDraft{Delivered: 3}, parley.CodeInvalid},
		"another numbering": {ann, "c1", parley.MarkDraft{Delivered: 1, Epoch: "epo_other"}, parley.CodeConflict},
	} {
		a, err := w.bridge.Mark(t.Context(), test.who, test.id, test.draft)
		if err != nil {
			t.Fatal(err)
		}
		if e := parley.ErrorOf(a.Err); e == nil || e.Code != test.code {
			t.Errorf("%s: %v, want %s", name, a.Err, test.code)
		}
	}
}

// What an agent reads who is not responsible counts for that agent only; what was
// read by who was stays so.
func TestReadByTheResponsibleAgent(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1), draft(2))
	w.mark(boss, "c1", 0, 3)
	if c := w.conversation(ann, "c1"); c.AgentRead != 0 {
		t.Errorf("a supervisor's reading counts as the agent's: %d", c.AgentRead)
	}
	w.claim(lilei, "c1")
	w.mark(lilei, "c1", 0, 2)
	w.claim(boss, "c1")
	if c := w.conversation(ann, "c1"); c.AgentRead != 2 {
		t.Errorf("agents have read %d, want 2", c.AgentRead)
	}
	w.say(ann, "c1", draft(3))
	head := w.conversation(boss, "c1").Head
	w.mark(boss, "c1", 0, head)
	if c := w.conversation(ann, "c1"); c.AgentRead != head {
		t.Errorf("agents have read %d, want %d", c.AgentRead, head)
	}
}

// Who has read in the queue and becomes responsible then marks again, and that
// counts as the agent's reading.
func TestReadBeforeBeingResponsible(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1), draft(2))
	w.mark(lilei, "c1", 0, 3)
	w.claim(lilei, "c1")
	for range 2 {
		w.mark(lilei, "c1", 0, 3)
		if c := w.conversation(ann, "c1"); c.AgentRead != 3 || c.Marks.Of(lilei.User).Count != 2 {
			t.Errorf("agents have read %d, mark %+v", c.AgentRead, c.Marks.Of(lilei.User))
		}
	}
	events, err := w.store.Read(t.Context(), parley.EventsOf(site, lilei.User), 0, 10)
	if err != nil || len(events) != 2 {
		t.Errorf("%d events, %v", len(events), err)
	}
}

// Whoever was away learns of marks: lists of what has changed have it.
func TestMarksAreAChange(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.later.Add(int64(time.Hour))
	w.say(bob, "c2", draft(1))
	since := w.conversation(boss, "c2").UpdatedAt
	if list, err := w.bridge.Watched(t.Context(), ann, since); err != nil || len(list) != 0 {
		t.Fatalf("before: %+v, %v", list, err)
	}
	w.later.Add(int64(time.Hour))
	w.mark(ann, "c1", 0, 2)
	w.mark(lilei, "c1", 0, 2)
	if list, err := w.bridge.Watched(t.Context(), ann, since); err != nil || len(list) != 1 || list[0].ID != "c1" {
		t.Errorf("after: %+v, %v", list, err)
	}
}

// Whoever marks behind the acknowledgement of a message that has opened the
// conversation again is not responsible any more.
func TestReadAfterReopening(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(0))
	for n := range 200 {
		w.claim(lilei, "c1")
		if _, err := w.bridge.Finish(t.Context(), lilei, "c1"); err != nil {
			t.Fatal(err)
		}
		w.say(ann, "c1", draft(n+1))
		a := w.mark(lilei, "c1", 0, int64(n+1))
		var body parley.MarkedBody
		if err := json.Unmarshal(a.Entry.Body, &body); err != nil || body.Responsible {
			t.Fatalf("round %d: marked %+v, %v", n, body, err)
		}
	}
}
