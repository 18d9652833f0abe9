package checker

// checkSender follows what one device sent to where it is stored.
func (c *check) checkSender(device string, records []Record) {
	r := c.report
	type message struct{ conversation, id string }
	first, acked := map[message]bool{}, map[message]bool{}
	newest := map[string]int64{} // by conversation: highest seq so far in the order of sending
	user := ""
	for _, rec := range records {
		key := message{rec.Conversation, rec.ID}
		switch rec.Event {
		case Sent:
			user = rec.User
			if !first[key] {
				first[key] = true
				r.Sent++
				c.checkSent(device, rec, newest)
			}
		case Acked:
			if !acked[key] {
				acked[key] = true
				r.Acked++
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

func (c *check) checkSent(device string, rec Record, newest map[string]int64) {
	r := c.report
	e := c.lookup(rec.Conversation, rec.User, rec.ID)
	if e == nil {
		return // not wrong in itself: it may never have been acknowledged
	}
	if e.Type != rec.Type || !sameBody(e.Body, rec.Body) {
		r.find(&r.Changed, "%s: message %s is stored as seq %d with other content", device, rec.ID, e.Seq)
	}
	if e.Seq < newest[rec.Conversation] {
		r.find(&r.Reordered, "%s: message %s is stored as seq %d, before one that was sent earlier (seq %d)", device, rec.ID, e.Seq, newest[rec.Conversation])
	}
	newest[rec.Conversation] = max(newest[rec.Conversation], e.Seq)
}

func (c *check) checkAcked(device, user string, rec Record) {
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
