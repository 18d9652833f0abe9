package checker

import "github.com/parley-chat/parley"

// view is what a device is owed of one conversation, and how far it has shown
// it.
type view struct {
	owed  []*parley.Entry
	index map[int64]int // seq to position in owed
	shown []bool
	next  int // one behind the highest position shown
	texts texts
}

// checkDevice compares what a device showed with what it is owed.
func (c *check) checkDevice(device string, records [][]Record) {
	r := c.report
	views := map[string]*view{}
	var order []string
	for rec := range each(records) {
		switch rec.Event {
		case Follows:
			if views[rec.Conversation] == nil {
				views[rec.Conversation] = c.view(rec)
				order = append(order, rec.Conversation)
			}
		case Shown:
			r.Shown++
			v := views[rec.Conversation]
			if v == nil {
				r.find(&r.Unexplained, "%s: showed %s seq %d without following it", device, rec.Conversation, rec.Seq)
				continue
			}
			c.checkShown(device, rec, v)
		}
	}
	for _, conversation := range order {
		c.checkComplete(device, conversation, views[conversation])
		c.checkFold(device, conversation, views[conversation])
	}
}

func (c *check) view(follows *Record) *view {
	v := &view{index: map[int64]int{}, texts: texts{}}
	s := c.stored[follows.Conversation]
	if s == nil {
		return v
	}
	for i := range s.entries {
		e := &s.entries[i]
		_, known := v.index[e.Seq]
		if e.Seq > follows.Seq && !known && (!follows.MessagesOnly || e.Type.Message()) {
			v.index[e.Seq] = len(v.owed)
			v.owed = append(v.owed, e)
		}
	}
	v.shown = make([]bool, len(v.owed))
	return v
}

func (c *check) checkShown(device string, rec *Record, v *view) {
	r := c.report
	i, ok := v.index[rec.Seq]
	if !ok {
		r.find(&r.Unexplained, "%s: showed %s seq %d, which it is not owed or which is not stored", device, rec.Conversation, rec.Seq)
		return
	}
	e := v.owed[i]
	if rec.ID != e.ID || rec.Sender != e.Sender || rec.Type != e.Type || !c.sameText(rec.Conversation, e, rec) {
		r.find(&r.Changed, "%s: showed %s seq %d with other content than stored", device, rec.Conversation, rec.Seq)
	}
	switch {
	case v.shown[i]:
		r.find(&r.Doubled, "%s: showed %s seq %d twice", device, rec.Conversation, rec.Seq)
	case i < v.next:
		r.find(&r.Reordered, "%s: showed %s seq %d after seq %d", device, rec.Conversation, rec.Seq, v.owed[v.next-1].Seq)
	}
	if stored := c.stored[rec.Conversation]; stored.amended && !v.shown[i] {
		v.texts.apply(&parley.Entry{Seq: rec.Seq, Type: rec.Type, Sender: rec.Sender, Body: rec.Body, Redacted: rec.Redacted}, func(seq int64) string {
			if of := stored.bySeq[seq]; of != nil {
				return of.Sender
			}
			return ""
		})
	}
	v.shown[i] = true
	v.next = max(v.next, i+1)
}

func (c *check) checkComplete(device, conversation string, v *view) {
	r := c.report
	for i, shown := range v.shown {
		if shown {
			continue
		}
		r.find(&r.Lost, "%s: never showed %s seq %d", device, conversation, v.owed[i].Seq)
		if i < v.next {
			r.Gaps++
		}
	}
}
