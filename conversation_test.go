package parley_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
)

func entry(seq int64, kind parley.EntryType, body any, count int64) *parley.Entry {
	raw, _ := json.Marshal(body)
	return &parley.Entry{Seq: seq, Type: kind, Body: raw, At: 1000 + seq, Count: count}
}

func TestConversationFolds(t *testing.T) {
	log := []*parley.Entry{
		entry(1, parley.EntryOpened, parley.OpenedBody{Visitor: "vis", Name: "Ann"}, 0),
		entry(2, parley.EntryText, parley.TextBody{Text: "hello"}, 1),
		entry(3, parley.EntryAssigned, parley.AssignedBody{Agent: "agt", Name: "Li Lei"}, 1),
		entry(4, parley.EntryText, parley.TextBody{Text: "hi Ann"}, 2),
		entry(5, parley.EntryClosed, parley.ByBody{By: "agt"}, 2),
		entry(6, parley.EntryReopened, parley.ByBody{By: "vis"}, 2),
	}
	want := []parley.Conversation{
		{Status: parley.StatusQueued, Control: 1},
		{Status: parley.StatusQueued, Control: 1, LastText: "hello", LastSeq: 2},
		{Status: parley.StatusOpen, Control: 3, Assignee: "agt", AssigneeName: "Li Lei", LastText: "hello", LastSeq: 2},
		{Status: parley.StatusOpen, Control: 3, Assignee: "agt", AssigneeName: "Li Lei", LastText: "hi Ann", LastSeq: 4},
		{Status: parley.StatusClosed, Control: 5, Assignee: "agt", AssigneeName: "Li Lei", LastText: "hi Ann", LastSeq: 4},
		{Status: parley.StatusQueued, Control: 6, LastText: "hi Ann", LastSeq: 4},
	}
	var c parley.Conversation
	for i, e := range log {
		c.Apply(e)
		c.Apply(e) // applying is idempotent
		for _, earlier := range log[:i] {
			c.Apply(earlier)
		}
		w := want[i]
		w.Visitor, w.VisitorName, w.OpenedAt = "vis", "Ann", 1001
		w.Head, w.Count, w.UpdatedAt = e.Seq, e.Count, e.At
		w.ChangedAt, w.Marks, w.AgentRead = e.At, c.Marks, c.AgentRead // see TestConversationKeepsMarks
		if diff := cmp.Diff(w, c); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", e.Type, diff)
		}
	}
}

func TestConversationSurvivesABadEntry(t *testing.T) {
	c := parley.Conversation{Head: 1, Status: parley.StatusQueued, Visitor: "vis"}
	c.Apply(&parley.Entry{Seq: 2, Type: parley.EntryAssigned, Body: json.RawMessage(`nonsense`)})
	if c.Head != 2 || c.Control != 2 || c.Visitor != "vis" {
		t.Errorf("got %+v", c)
	}
	c.Apply(&parley.Entry{Seq: 3, Type: "of a later version", Body: json.RawMessage(`{}`)})
	if c.Head != 3 || c.Control != 2 {
		t.Errorf("an unknown type: got %+v", c)
	}
}

func TestStateShowsWhoIsResponsible(t *testing.T) {
	c := parley.Conversation{ID: "c", Head: 3, Count: 1, Status: parley.StatusQueued, Visitor: "vis"}
	data, _ := json.Marshal(c.State("epo", parley.Identity{Role: parley.RoleAgent}))
	var s map[string]any
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	if s["assignee"] != nil || s["head"] != 3.0 || s["first"] != 1.0 || s["epoch"] != "epo" {
		t.Errorf("state of a queued conversation: %s", data)
	}
}

// A list shows the beginning of the newest text, whatever is in it.
func TestLastTextIsTheBeginning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringN(1, 300, -1),
			rapid.StringOfN(rapid.RuneFrom([]rune("aé你😀\"\\\n<&\u2028\u0000")), 1, 200, -1),
		).Draw(t, "text")
		var c parley.Conversation
		c.Apply(&parley.Entry{Seq: 1, Type: parley.EntryText, Body: parley.NewText("msg_00000001", text).Body})
		runes := []rune(text)
		if want := string(runes[:min(len(runes), 120)]); c.LastText != want {
			t.Fatalf("last text %q, want %q", c.LastText, want)
		}
	})
}
