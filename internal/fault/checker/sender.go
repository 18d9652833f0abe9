package checker

import "github.com/parley-chat/parley"

// messages reports whether what was sent is a message. Who does not say the type
// of an acknowledgement sends nothing else.
func messages(t parley.EntryType) bool { return t == "" || t.Message() }

func (c *check) countAcked(t parley.EntryType) {
	switch {
	case t == parley.EntrySet:
		c.report.Registers++
	case t.Amends():
		c.report.Edits++
	case messages(t):
		c.report.Acked++
	}
}

// checkSender follows what one device sent to where it is stored.
func (c *check) checkSender(device string, records [][]Record) {
	r := c.report
	type sentMessage struct{ conversation, id string }
	first, acked := map[sentMessage]bool{}, map[sentMessage]bool{}
	told := map[string]bool{} // ids that the device's errors have named
	for rec := range each(records) {
		if rec.Event == Told {
			told[rec.ID] = true
		}
	}
	newest := map[string]*parley.Entry{} // by conversation: highest seq so far in the order of sending
	user := ""
	for rec := range each(records) {
		if rec.Type == parley.EntryMarked {
			continue // of these only the highest has to stay; see checkMarks
		}
		event := rec.Event
		if event == Acked && rec.Seq == 0 && told[rec.ID] {
			event = Refused // MQTT 3.1.1 has no other way to say so
		}
		key := sentMessage{rec.Conversation, rec.ID}
		switch event {
		case Sent:
			user = rec.User
			if !first[key] {
				first[key] = true
				if messages(rec.Type) {
					r.Sent++
				}
				c.checkSent(device, rec, newest)
			}
		case Acked:
			if !acked[key] {
				acked[key] = true
				c.countAcked(rec.Type)
			}
			if !first[key] {
				r.find(&r.Unexplained, "%s: acknowledged message %s was never sent", device, rec.ID)
				continue
			}
			c.checkAcked(device, user, rec)
		case Refused:
			if c.lookup(rec.Conversation, user, rec.ID) != nil {
				r.find(&r.Unexplained, "%s: message %s was refused, and is stored", device, rec.ID)
			}
		}
	}
}

func (c *check) checkSent(device string, rec *Record, newest map[string]*parley.Entry) {
	r := c.report
	e := c.lookup(rec.Conversation, rec.User, rec.ID)
	if e == nil {
		return // not wrong in itself: it may never have been acknowledged
	}
	if e.Type != rec.Type || !c.sameText(rec.Conversation, e, rec) {
		r.find(&r.Changed, "%s: message %s is stored as seq %d with other content", device, rec.ID, e.Seq)
	}
	earlier := newest[rec.Conversation]
	if earlier == nil || e.Seq >= earlier.Seq {
		newest[rec.Conversation] = e
		return
	}
	r.find(&r.Reordered, "%s: message %s (%s) is stored as seq %d, before a %s that was sent earlier (seq %d)", device, rec.ID, e.Type, e.Seq, earlier.Type, earlier.Seq)
}

func (c *check) checkAcked(device, user string, rec *Record) {
	r := c.report
	e := c.lookup(rec.Conversation, user, rec.ID)
	if e == nil {
		r.find(&r.Lost, "%s: message %s was acknowledged and is not stored", device, rec.ID)
		return
	}
	if rec.Seq != 0 && rec.Seq != e.Seq {
		r.find(&r.Reordered, "%s: message %s was acknowledged as seq %d and is stored as seq %d", device, rec.ID, rec.Seq, e.Seq)
	}
}
