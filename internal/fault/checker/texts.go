package checker

import (
	"github.com/parley-chat/parley"
)

// amendment is what has become of a message.
type amendment struct {
	deleted int64 // seq of the delete, 0 if there is none
	edited  int64 // of the newest edit
}

// checkTexts folds the edits and deletes of a stream: each is of an earlier message,
// edits are the author's, nothing follows a delete, and what was deleted is not there
// any more, the text of its edits included.
func (c *check) checkTexts(s Stream) {
	r := c.report
	stored := c.stored[s.Conversation]
	fates := map[int64]amendment{}
	for i := range s.Entries {
		e := &s.Entries[i]
		if !e.Type.Amends() {
			continue
		}
		seq, named := c.target(s.Conversation, e)
		if !named {
			continue // an edit that is blanked itself: of what, nobody can tell
		}
		of := stored.bySeq[seq]
		fate := fates[seq]
		switch {
		case of == nil || of.Type != parley.EntryText || seq >= e.Seq:
			r.find(&r.Unexplained, "%s: seq %d changes seq %d, which is no message in front of it", s.Conversation, e.Seq, seq)
			continue
		case fate.deleted > 0:
			r.find(&r.Reordered, "%s: seq %d changes seq %d, which seq %d has deleted", s.Conversation, e.Seq, seq, fate.deleted)
		case e.Type == parley.EntryEdit && e.Sender != of.Sender:
			r.find(&r.Unexplained, "%s: seq %d changes what %s has written", s.Conversation, e.Seq, of.Sender)
		}
		if e.Type == parley.EntryDelete {
			fate.deleted = e.Seq
		} else {
			fate.edited = e.Seq
		}
		fates[seq] = fate
	}
	for i := range s.Entries {
		c.checkBlank(s.Conversation, &s.Entries[i], fates)
	}
}

// target is the message that an edit or a delete is about. A blanked edit does not say
// it any more; its sender's journal does.
func (c *check) target(conversation string, e *parley.Entry) (seq int64, named bool) {
	if e.Redacted {
		seq, named = c.targets[message{conversation, e.Sender, e.ID}]
		return seq, named
	}
	return e.Target()
}

func (c *check) checkBlank(conversation string, e *parley.Entry, fates map[int64]amendment) {
	r := c.report
	seq, named := e.Seq, true
	if e.Type == parley.EntryEdit {
		seq, named = c.target(conversation, e)
	}
	gone := named && fates[seq].deleted > 0 && (e.Type == parley.EntryText || e.Type == parley.EntryEdit)
	switch {
	case e.Redacted && !sameBody(e.Body, nil):
		r.find(&r.Changed, "%s: seq %d is called deleted and has a text", conversation, e.Seq)
	case gone && !e.Redacted:
		r.find(&r.Changed, "%s: seq %d was deleted by seq %d and is still there", conversation, e.Seq, fates[seq].deleted)
	case e.Redacted && named && !gone:
		r.find(&r.Lost, "%s: seq %d is called deleted, which nobody has done", conversation, e.Seq)
	}
}

// sameText reports whether a device, or a sender, that has a body for an entry has what
// is stored, or had it before it was deleted.
func (c *check) sameText(conversation string, e *parley.Entry, has *Record) bool {
	switch {
	case has.Redacted:
		return e.Redacted && sameBody(has.Body, nil)
	case !e.Redacted:
		return sameBody(has.Body, e.Body)
	}
	sent, known := c.sent[message{conversation, e.Sender, e.ID}]
	return !known || sameBody(has.Body, sent)
}

// text is what a device shows in the place of a message.
type text struct {
	body    any
	deleted bool
}

// texts are what a device shows of one conversation in the end.
type texts map[int64]text

// apply shows an entry: the newest edit wins, and a delete is final.
func (t texts) apply(e *parley.Entry, author func(seq int64) string) {
	switch e.Type {
	case parley.EntryText:
		t[e.Seq] = text{decoded(e.Body), e.Redacted}
	case parley.EntryEdit:
		seq, ok := e.Target()
		if now, shown := t[seq]; ok && shown && !now.deleted && author(seq) == e.Sender {
			body, _ := decoded(e.Body).(map[string]any)
			t[seq] = text{map[string]any{"text": body["text"]}, false}
		}
	case parley.EntryDelete:
		if seq, ok := e.Target(); ok {
			if _, shown := t[seq]; shown {
				t[seq] = text{deleted: true}
			}
		}
	}
	if e.Type == parley.EntryText && e.Redacted {
		t[e.Seq] = text{deleted: true}
	}
}

// checkFold compares what a device shows in the end with the stream.
func (c *check) checkFold(device, conversation string, v *view) {
	s := c.stored[conversation]
	if s == nil || !s.amended {
		return
	}
	author := func(seq int64) string {
		if e := s.bySeq[seq]; e != nil {
			return e.Sender
		}
		return ""
	}
	should := texts{}
	for _, e := range v.owed {
		should.apply(e, author)
	}
	for seq, want := range should {
		if got, shown := v.texts[seq]; shown && !sameTextShown(got, want) {
			c.report.find(&c.report.Changed, "%s: shows another text for %s seq %d than the stream has", device, conversation, seq)
		}
	}
}

func sameTextShown(a, b text) bool {
	return a.deleted == b.deleted && (a.deleted || equal(a.body, b.body))
}
