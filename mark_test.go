package parley_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
)

// Marks that come in any order, any number of times, in whatever pieces, end
// alike, and never fall.
func TestMarksConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mark := rapid.Custom(func(t *rapid.T) parley.Mark {
			read := rapid.Int64Range(0, 20).Draw(t, "read")
			return parley.Mark{
				User: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "user"), Delivered: rapid.Int64Range(read, 20).Draw(t, "delivered"),
				Read: read, Count: read / 2, // a count follows from its seq
			}
		})
		all := rapid.SliceOfN(mark, 1, 30).Draw(t, "marks")
		var one, other, third parley.Marks
		for _, m := range all {
			before := one.Of(m.User)
			one = one.With(m)
			if after := one.Of(m.User); after.Read < before.Read || after.Delivered < before.Delivered || after.Count < before.Count {
				t.Fatalf("%+v fell to %+v", before, after)
			}
		}
		shuffled := rapid.Permutation(append(slices.Clone(all), all...)).Draw(t, "order")
		cut := rapid.IntRange(0, len(shuffled)).Draw(t, "cut")
		for i, m := range shuffled {
			if i < cut {
				other = other.With(m)
			} else {
				third = third.With(m)
			}
		}
		if diff := cmp.Diff(one, other.Merge(third)); diff != "" {
			t.Fatalf("in another order (-one +other):\n%s", diff)
		}
	})
}

// What others hold is not changed under them.
func TestMarksAreShared(t *testing.T) {
	first := parley.Marks{}.With(parley.Mark{User: "b", Read: 1}).With(parley.Mark{User: "d", Read: 1})
	held := slices.Clone(first)
	for _, user := range []string{"a", "b", "c", "d", "e"} {
		first.With(parley.Mark{User: user, Read: 5})
	}
	if diff := cmp.Diff(held, first); diff != "" {
		t.Errorf("changed:\n%s", diff)
	}
}

func TestDecodeMark(t *testing.T) {
	for payload, want := range map[string]parley.MarkDraft{
		`{"read":3}`:                     {Delivered: 3, Read: 3},
		`{"delivered":5,"read":3}`:       {Delivered: 5, Read: 3},
		`{"delivered":2,"read":3}`:       {Delivered: 3, Read: 3},
		`{"delivered":9007199254740991}`: {Delivered: 1<<53 - 1},
		`{"read":0}`:                     {},
		`{"read":1,"epoch":"epo_1"}`:     {Delivered: 1, Read: 1, Epoch: "epo_1"},
		`{"Read":9,"read":1,"more":[1]}`: {Delivered: 1, Read: 1},
	} {
		got, err := parley.DecodeMark([]byte(payload))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", payload, got, err, want)
		}
	}
	for _, payload := range []string{
		``, `null`, `[]`, `{}`, `{"epoch":"epo_1"}`, `{"read":-1}`, `{"read":1.0}`, `{"read":1e3}`, `{"read":"1"}`, `{"read":null}`,
		`{"read":9007199254740992}`, `{"read":1,"read":2}`, `{"delivered":1,"delivered":1}`, `{"read":1,"epoch":7}`,
		`{"read":1,"epoch":""}`, `{"read":1,"epoch":"a/b"}`, `{"read":1`,
	} {
		if got, err := parley.DecodeMark([]byte(payload)); err == nil || parley.ErrorOf(err).Code != parley.CodeInvalid {
			t.Errorf("%s: %+v, %v", payload, got, err)
		}
	}
}

func FuzzDecodeMark(f *testing.F) {
	for _, s := range []string{`{"read":3}`, `{"delivered":5,"read":3,"epoch":"epo_1"}`, `{"read":1,"read":2}`, `{"read":-1}`, `[`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		d, err := parley.DecodeMark(payload)
		if err == nil && (d.Read < 0 || d.Delivered < d.Read || d.Delivered > 1<<53-1) {
			t.Fatalf("%+v", d)
		}
	})
}

// A sender has read what it sends; a snapshot keeps the marks of an older one.
func TestConversationKeepsMarks(t *testing.T) {
	c := parley.Conversation{Site: "s", ID: "c", Visitor: "vis"}
	c.Apply(&parley.Entry{Seq: 1, Type: parley.EntryText, Sender: "vis", Body: []byte(`{"text":"a"}`), Count: 1, At: 10})
	c.Apply(&parley.Entry{Seq: 2, Type: parley.EntryAssigned, Sender: parley.SenderSystem, Body: []byte(`{"agent":"agt"}`), Count: 1, At: 20})
	c.Apply(&parley.Entry{Seq: 3, Type: parley.EntryText, Sender: "agt", Body: []byte(`{"text":"b"}`), Count: 2, At: 30})
	want := parley.Marks{{User: "agt", Delivered: 3, Read: 3, Count: 2}, {User: "vis", Delivered: 1, Read: 1, Count: 1}}
	if diff := cmp.Diff(want, c.Marks); diff != "" || c.AgentRead != 3 {
		t.Errorf("agent has read %d, marks (-want +got):\n%s", c.AgentRead, diff)
	}
	marked := c.Marked("vis", parley.MarkedBody{Delivered: 3, Read: 2, Count: 1}, 25)
	if m := marked.Marks.Of("vis"); m.Read != 2 || m.Delivered != 3 || marked.ChangedAt != 30 || marked.UpdatedAt != 30 {
		t.Errorf("%+v, changed at %d", m, marked.ChangedAt)
	}
	later := c
	later.Apply(&parley.Entry{Seq: 4, Type: parley.EntryText, Sender: "agt", Body: []byte(`{"text":"c"}`), Count: 3, At: 40})
	for _, both := range []parley.Conversation{later.Newest(marked), marked.Newest(later)} {
		if both.Head != 4 || both.Marks.Of("vis").Read != 2 || both.Marks.Of("agt").Read != 4 {
			t.Errorf("merged to %+v", both)
		}
	}
	if s := marked.State("epo", parley.Identity{User: "vis", Role: parley.RoleVisitor}); len(s.Marks) != 1 || s.Marks[0].User != "vis" || s.AgentRead != 3 {
		t.Errorf("the visitor sees %+v", s.Marks)
	}
	if s := marked.State("epo", parley.Identity{User: "boss", Role: parley.RoleSupervisor}); len(s.Marks) != 2 {
		t.Errorf("staff sees %+v", s.Marks)
	}
}
