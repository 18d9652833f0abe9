package checker

import (
	"encoding/json"

	"github.com/parley-chat/parley"
)

// reader is whose marks in which conversation.
type reader struct{ user, conversation string }

// letter names what a device has sent.
type letter struct{ device, id string }

// checkMarks follows marks: from what was sent, over the users' events and what
// devices were told, to what is left in the end.
func (c *check) checkMarks(journals [][]Record, streams []Stream) {
	sent := map[letter]Record{}
	most := map[reader]parley.Mark{} // that anybody has asked for
	marks := map[string]bool{}       // users who mark
	acked := map[reader]parley.Mark{}
	counted := map[letter]bool{}
	for r := range each(journals) {
		if r.Type != parley.EntryMarked {
			continue
		}
		by := letter{r.Device, r.ID}
		switch r.Event {
		case Sent:
			if _, again := sent[by]; again {
				continue
			}
			sent[by], marks[r.User] = *r, true
			who := reader{r.User, r.Conversation}
			most[who] = most[who].Merge(parley.Mark{Delivered: r.Delivered, Read: r.Read})
		case Acked:
			first, known := sent[by]
			if !known {
				c.report.find(&c.report.Unexplained, "%s: acknowledged mark %s was never sent", r.Device, r.ID)
				continue
			}
			if !counted[by] {
				counted[by] = true
				c.report.Marks++
			}
			who := reader{first.User, first.Conversation}
			acked[who] = acked[who].Merge(parley.Mark{Delivered: first.Delivered, Read: first.Read})
		}
	}
	final := c.finalMarks(streams, acked, marks)
	for _, s := range streams {
		c.checkMarked(s, most, marks, final)
	}
	c.checkViews(journals, final)
}

// finalMarks finds marks that were acknowledged, or came with a message, and are
// not left.
func (c *check) finalMarks(streams []Stream, acked map[reader]parley.Mark, marks map[string]bool) map[string]parley.Marks {
	final := map[string]parley.Marks{}
	for _, s := range streams {
		if s.Marks == nil {
			continue
		}
		final[s.Conversation] = *s.Marks
		for who, m := range acked {
			if who.conversation == s.Conversation {
				c.expectMark(s, who.user, m)
			}
		}
		own := map[string]int64{}
		for i := range s.Entries {
			if e := &s.Entries[i]; e.Type.Message() && marks[e.Sender] && s.Marks.Of(e.Sender).Delivered > 0 {
				own[e.Sender] = max(own[e.Sender], e.Seq)
			}
		}
		for user, seq := range own {
			c.expectMark(s, user, parley.Mark{Delivered: seq, Read: seq})
		}
	}
	return final
}

func (c *check) expectMark(s Stream, user string, m parley.Mark) {
	if left := s.Marks.Of(user); left.Delivered < m.Delivered || left.Read < m.Read {
		c.report.find(&c.report.Lost, "%s: %s marked %d delivered and %d read, %d and %d are left", s.Conversation, user, m.Delivered, m.Read, left.Delivered, left.Read)
	}
}

// checkMarked goes through the marks among a user's events: what they come to is left,
// and none marks what the user has not asked for.
func (c *check) checkMarked(s Stream, most map[reader]parley.Mark, marks map[string]bool, final map[string]parley.Marks) {
	r := c.report
	last := map[string]parley.Mark{}
	for i := range s.Entries {
		e := &s.Entries[i]
		if e.Type != parley.EntryMarked {
			continue
		}
		var body parley.MarkedBody
		if json.Unmarshal(e.Body, &body) != nil {
			r.find(&r.Changed, "%s: seq %d is no mark", s.Conversation, e.Seq)
			continue
		}
		// Two devices that mark at once may stand in any order: who reads merges.
		last[body.Conversation] = last[body.Conversation].Merge(parley.Mark{Delivered: body.Delivered, Read: body.Read})
		asked := c.ownMessages(s.Conversation, body.Conversation).Merge(most[reader{s.Conversation, body.Conversation}])
		if marks[s.Conversation] && (body.Delivered > asked.Delivered || body.Read > asked.Read) {
			r.find(&r.Unexplained, "%s: seq %d marks more of %s than anybody asked for", s.Conversation, e.Seq, body.Conversation)
		}
	}
	for conversation, m := range last {
		if left, told := final[conversation]; told && (left.Of(s.Conversation).Delivered < m.Delivered || left.Of(s.Conversation).Read < m.Read) {
			r.find(&r.Lost, "%s: a mark in %s among the events is not left", s.Conversation, conversation)
		}
	}
}

// ownMessages is what a user has marked by writing.
func (c *check) ownMessages(user, conversation string) (m parley.Mark) {
	s := c.stored[conversation]
	if s == nil {
		return m
	}
	if s.own == nil {
		s.own = map[string]int64{}
		for i := range s.entries {
			s.own[s.entries[i].Sender] = max(s.own[s.entries[i].Sender], s.entries[i].Seq)
		}
	}
	return parley.Mark{Delivered: s.own[user], Read: s.own[user]}
}

// checkViews compares what devices were told with what is left: it never falls,
// and the last they were told is that.
func (c *check) checkViews(journals [][]Record, final map[string]parley.Marks) {
	r := c.report
	type view struct {
		device string
		of     reader
	}
	views := map[view]parley.Mark{}
	for rec := range each(journals) {
		if rec.Event != Viewed {
			continue
		}
		v := view{rec.Device, reader{rec.Sender, rec.Conversation}}
		m := parley.Mark{Delivered: rec.Delivered, Read: rec.Read}
		if was := views[v]; m.Delivered < was.Delivered || m.Read < was.Read {
			r.find(&r.Reordered, "%s: was told that the marks of %s in %s fell", rec.Device, rec.Sender, rec.Conversation)
		}
		views[v] = m
	}
	for v, m := range views {
		left, told := final[v.of.conversation]
		if !told {
			continue
		}
		switch l := left.Of(v.of.user); {
		case m.Delivered < l.Delivered || m.Read < l.Read:
			r.find(&r.Lost, "%s: was never told how far %s has got in %s", v.device, v.of.user, v.of.conversation)
		case m.Delivered > l.Delivered || m.Read > l.Read:
			r.find(&r.Unexplained, "%s: was told marks of %s in %s that are not there", v.device, v.of.user, v.of.conversation)
		}
	}
}
