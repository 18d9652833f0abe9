package parley_test

import (
	"testing"

	"github.com/parley-chat/parley"
)

var everyKind = []parley.TopicKind{
	parley.TopicSend, parley.TopicMessages, parley.TopicNotesSend, parley.TopicNotes, parley.TopicMarks, parley.TopicState,
	parley.TopicSignals, parley.TopicEvents, parley.TopicSet, parley.TopicErrors, parley.TopicAuth, parley.TopicPresence, parley.TopicVisits,
}

// TestMay asks every role about every kind of topic: its own, and one that
// belongs to another user.
func TestMay(t *testing.T) {
	const no, own, any = "-", "own", "any"
	type row struct{ visitor, agent string }
	publish := map[parley.TopicKind]row{
		parley.TopicSend: {any, any}, parley.TopicMarks: {any, any}, parley.TopicSignals: {any, any},
		parley.TopicNotesSend: {no, any}, parley.TopicSet: {own, own}, parley.TopicAuth: {own, own}, parley.TopicVisits: {own, no},
	}
	subscribe := map[parley.TopicKind]row{
		parley.TopicMessages: {any, any}, parley.TopicState: {any, any}, parley.TopicSignals: {any, any}, parley.TopicNotes: {no, any},
		parley.TopicEvents: {own, own}, parley.TopicErrors: {own, own}, parley.TopicPresence: {no, any}, parley.TopicVisits: {no, any},
	}
	for action, table := range map[parley.Action]map[parley.TopicKind]row{parley.ActionPublish: publish, parley.ActionSubscribe: subscribe} {
		for _, kind := range everyKind {
			expected, listed := table[kind]
			if !listed {
				expected = row{no, no}
			}
			for role, want := range map[parley.Role]string{
				parley.RoleVisitor: expected.visitor, parley.RoleAgent: expected.agent, parley.RoleSupervisor: expected.agent,
				parley.RoleAdmin: expected.agent, parley.RoleOwner: expected.agent,
			} {
				who := parley.Identity{Site: "s", User: "me", Device: "dev", Role: role}
				check := func(what string, topic parley.Topic, allowed bool) {
					t.Helper()
					if err := who.May(action, topic); (err == nil) != allowed {
						t.Errorf("%s may %s %s %s: %v, want allowed=%v", role, action, what, kind, err, allowed)
					}
				}
				mine := parley.Topic{Kind: kind, Site: "s", Conversation: "c", User: "me", Device: "dev"}
				check("own", mine, want != no)
				foreign := mine
				foreign.User = "other"
				check("another's", foreign, want == any)
				elsewhere := mine
				elsewhere.Site = "t"
				check("another site's", elsewhere, false)
			}
		}
	}
}

func TestNobodyPublishesToAFilter(t *testing.T) {
	who := parley.Identity{Site: "s", User: "u", Device: "d", Role: parley.RoleOwner}
	for _, kind := range everyKind {
		if who.May(parley.ActionPublish, parley.Topic{Kind: kind, Site: "s", Conversation: parley.Any, User: parley.Any}) == nil {
			t.Errorf("publish to a filter of %s is allowed", kind)
		}
	}
}

func TestMayIn(t *testing.T) {
	queued := parley.Conversation{Site: "s", ID: "c", Head: 1, Status: parley.StatusQueued, Visitor: "vis"}
	open := queued
	open.Status, open.Assignee = parley.StatusOpen, "agt"
	closed := open
	closed.Status = parley.StatusClosed
	missing := parley.Conversation{Site: "s", ID: "c"}
	elsewhere := open
	elsewhere.Site = "t"

	who := func(role parley.Role, user string) parley.Identity {
		return parley.Identity{Site: "s", User: user, Device: "d", Role: role}
	}
	visitor, stranger := who(parley.RoleVisitor, "vis"), who(parley.RoleVisitor, "other")
	agent, colleague := who(parley.RoleAgent, "agt"), who(parley.RoleAgent, "agt2")
	supervisor, bot := who(parley.RoleSupervisor, "sup"), who(parley.RoleBot, "agt")

	const ok = parley.Code("")
	type answers struct{ read, send, claim, close, note parley.Code }
	hidden := answers{parley.CodeNotFound, parley.CodeNotFound, parley.CodeNotFound, parley.CodeNotFound, parley.CodeNotFound}
	for name, tc := range map[string]struct {
		who  parley.Identity
		c    parley.Conversation
		want answers
	}{
		"visitor in own queued":   {visitor, queued, answers{ok, ok, parley.CodeForbidden, parley.CodeForbidden, parley.CodeForbidden}},
		"visitor in own open":     {visitor, open, answers{ok, ok, parley.CodeForbidden, parley.CodeForbidden, parley.CodeForbidden}},
		"visitor in own closed":   {visitor, closed, answers{ok, ok, parley.CodeForbidden, parley.CodeForbidden, parley.CodeForbidden}},
		"visitor in another's":    {stranger, open, hidden},
		"visitor, missing":        {visitor, missing, hidden},
		"agent in queued":         {agent, queued, answers{ok, parley.CodeForbidden, ok, parley.CodeForbidden, ok}},
		"agent in own open":       {agent, open, answers{ok, ok, ok, ok, ok}},
		"agent in own closed":     {agent, closed, answers{ok, parley.CodeClosed, parley.CodeClosed, ok, ok}},
		"colleague in open":       {colleague, open, answers{parley.CodeNotFound, parley.CodeNotFound, parley.CodeConflict, parley.CodeNotFound, parley.CodeNotFound}},
		"colleague, other site":   {colleague, elsewhere, hidden},
		"supervisor in queued":    {supervisor, queued, answers{ok, ok, ok, ok, ok}},
		"bot in queued":           {bot, queued, hidden},
		"bot in open":             {bot, open, hidden},
		"stranger claims queued":  {stranger, queued, hidden},
		"colleague in closed":     {colleague, closed, hidden},
		"supervisor, missing":     {supervisor, missing, hidden},
		"supervisor in open":      {supervisor, open, answers{ok, ok, ok, ok, ok}},
		"supervisor in closed":    {supervisor, closed, answers{ok, parley.CodeClosed, parley.CodeClosed, ok, ok}},
		"supervisor, other site":  {supervisor, elsewhere, hidden},
		"visitor, same id abroad": {visitor, elsewhere, hidden},
	} {
		t.Run(name, func(t *testing.T) {
			for action, want := range map[parley.Action]parley.Code{
				parley.ActionRead: tc.want.read, parley.ActionSend: tc.want.send, parley.ActionClaim: tc.want.claim, parley.ActionClose: tc.want.close,
				parley.ActionNote: tc.want.note,
			} {
				got := ok
				if err := tc.who.MayIn(action, tc.c); err != nil {
					got = parley.ErrorOf(err).Code
				}
				if got != want {
					t.Errorf("%s: got %q, want %q", action, got, want)
				}
			}
		})
	}
}
