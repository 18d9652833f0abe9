package parley_test

import (
	"testing"
	"time"

	"github.com/parley-chat/parley"
)

func TestMayAmend(t *testing.T) {
	visitor := parley.Identity{Site: "s", User: "vis", Role: parley.RoleVisitor}
	agent := parley.Identity{Site: "s", User: "agt", Role: parley.RoleAgent}
	other := parley.Identity{Site: "s", User: "oth", Role: parley.RoleAgent}
	boss := parley.Identity{Site: "s", User: "bos", Role: parley.RoleSupervisor}
	open := parley.Conversation{Site: "s", ID: "c", Head: 9, Status: parley.StatusOpen, Visitor: "vis", Assignee: "agt"}
	queued, closed := open, open
	queued.Status, queued.Assignee = parley.StatusQueued, ""
	closed.Status = parley.StatusClosed
	by := func(user string) *parley.Entry { return &parley.Entry{Type: parley.EntryText, Sender: user} }
	deleted := by("vis").Redact()
	edit, del := parley.EntryEdit, parley.EntryDelete
	const ok parley.Code = ""
	for name, c := range map[string]struct {
		who  parley.Identity
		in   parley.Conversation
		a    parley.Amendment
		want parley.Code
	}{
		"visitor edits":                         {visitor, open, parley.Amendment{Kind: edit, Target: by("vis")}, ok},
		"visitor edits at the last moment":      {visitor, open, parley.Amendment{Kind: edit, Target: by("vis"), Age: 15 * time.Minute}, ok},
		"visitor edits too late":                {visitor, open, parley.Amendment{Kind: edit, Target: by("vis"), Age: 15*time.Minute + 1}, parley.CodeForbidden},
		"visitor deletes too late":              {visitor, open, parley.Amendment{Kind: del, Target: by("vis"), Age: time.Hour}, parley.CodeForbidden},
		"visitor edits the agent's":             {visitor, open, parley.Amendment{Kind: edit, Target: by("agt")}, parley.CodeForbidden},
		"visitor deletes the agent's":           {visitor, open, parley.Amendment{Kind: del, Target: by("agt")}, parley.CodeForbidden},
		"visitor edits when closed":             {visitor, closed, parley.Amendment{Kind: edit, Target: by("vis")}, parley.CodeClosed},
		"visitor deletes when closed":           {visitor, closed, parley.Amendment{Kind: del, Target: by("vis")}, ok},
		"visitor edits nothing":                 {visitor, open, parley.Amendment{Kind: edit}, parley.CodeNotFound},
		"visitor deletes an assignment":         {visitor, open, parley.Amendment{Kind: del, Target: &parley.Entry{Type: parley.EntryAssigned, Sender: "vis"}}, parley.CodeNotFound},
		"visitor edits an edit":                 {visitor, open, parley.Amendment{Kind: edit, Target: &parley.Entry{Type: edit, Sender: "vis"}}, parley.CodeNotFound},
		"visitor edits what is deleted":         {visitor, open, parley.Amendment{Kind: edit, Target: &deleted}, parley.CodeConflict},
		"visitor deletes what is deleted":       {visitor, open, parley.Amendment{Kind: del, Target: &deleted}, parley.CodeConflict},
		"agent deletes what is deleted":         {agent, open, parley.Amendment{Kind: del, Target: &deleted}, parley.CodeForbidden},
		"agent edits after a while":             {agent, open, parley.Amendment{Kind: edit, Target: by("agt"), Age: 24 * time.Hour}, ok},
		"agent edits too late":                  {agent, open, parley.Amendment{Kind: edit, Target: by("agt"), Age: 25 * time.Hour}, parley.CodeForbidden},
		"agent edits when closed":               {agent, closed, parley.Amendment{Kind: edit, Target: by("agt")}, parley.CodeClosed},
		"agent deletes when closed":             {agent, closed, parley.Amendment{Kind: del, Target: by("agt")}, ok},
		"agent edits in the queue":              {agent, queued, parley.Amendment{Kind: edit, Target: by("agt")}, parley.CodeForbidden},
		"agent deletes in the queue":            {agent, queued, parley.Amendment{Kind: del, Target: by("agt")}, ok},
		"agent deletes the visitor's":           {agent, open, parley.Amendment{Kind: del, Target: by("vis")}, parley.CodeForbidden},
		"agent deletes elsewhere":               {other, open, parley.Amendment{Kind: del, Target: by("oth")}, parley.CodeNotFound},
		"agent edits a note when closed":        {agent, closed, parley.Amendment{Kind: edit, Note: true, Target: by("agt")}, ok},
		"agent edits another's note":            {agent, open, parley.Amendment{Kind: edit, Note: true, Target: by("oth")}, parley.CodeForbidden},
		"visitor deletes a note":                {visitor, open, parley.Amendment{Kind: del, Note: true, Target: by("vis")}, parley.CodeForbidden},
		"supervisor deletes anybody's, any day": {boss, closed, parley.Amendment{Kind: del, Target: by("vis"), Age: 1000 * time.Hour}, ok},
		"supervisor edits the visitor's":        {boss, open, parley.Amendment{Kind: edit, Target: by("vis")}, parley.CodeForbidden},
		"supervisor edits the own, too late":    {boss, open, parley.Amendment{Kind: edit, Target: by("bos"), Age: 25 * time.Hour}, parley.CodeForbidden},
		"supervisor deletes a note":             {boss, open, parley.Amendment{Kind: del, Note: true, Target: by("agt")}, ok},
		"supervisor of another site":            {parley.Identity{Site: "t", User: "bos", Role: parley.RoleOwner}, open, parley.Amendment{Kind: del, Target: by("vis")}, parley.CodeNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.who.MayAmend(c.a, c.in, parley.DefaultEditTimes())
			if got := codeOf(err); got != c.want {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
			err = c.who.MayAmend(c.a, c.in, parley.EditTimes{})
			if moderates := c.a.Kind == del && c.who.Role.Supervises(); c.want == ok && !moderates && codeOf(err) != parley.CodeForbidden {
				t.Errorf("with times of 0: %v", err)
			}
		})
	}
}

func TestLastTextFollowsEditsAndDeletes(t *testing.T) {
	log := []*parley.Entry{
		entry(1, parley.EntryText, parley.TextBody{Text: "one"}, 1),
		entry(2, parley.EntryEdit, parley.EditBody{Seq: 1, Text: "uno"}, 1),
		entry(3, parley.EntryText, parley.TextBody{Text: "two"}, 2),
		entry(4, parley.EntryEdit, parley.EditBody{Seq: 1, Text: "eins"}, 2),
		entry(5, parley.EntryDelete, parley.DeleteBody{Seq: 1}, 2),
		entry(6, parley.EntryEdit, parley.EditBody{Seq: 3, Text: "due"}, 2),
		entry(7, parley.EntryDelete, parley.DeleteBody{Seq: 3}, 2),
	}
	want := []string{"one", "uno", "two", "two", "two", "due", ""}
	var live, late parley.Conversation
	for i, e := range log {
		live.Apply(e)
		if live.LastText != want[i] || live.Marks.Of("").Read > 3 {
			t.Errorf("after %s %d: %q, read %d", e.Type, e.Seq, live.LastText, live.Marks.Of("").Read)
		}
	}
	for _, e := range log { // as it is read after the deletes
		if e.Type != parley.EntryDelete {
			redacted := e.Redact()
			e = &redacted
		}
		if late.Apply(e); late.LastText != "" {
			t.Errorf("redacted %s %d: %q", e.Type, e.Seq, late.LastText)
		}
	}
}
