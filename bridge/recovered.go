package bridge

import (
	"context"

	"github.com/parley-chat/parley"
)

// recovered are marks that a restarted projector has come across, by conversation.
// There may be thousands of each: they are merged, and folded once.
type recovered map[parley.Stream]map[marker]lastMark

// marker is who has marked, and whether as the agent who was responsible.
type marker struct {
	user        string
	responsible bool
}

// lastMark is what marks come to, and the server time of the newest of them.
type lastMark struct {
	parley.MarkedBody
	at int64
}

// take adds the mark of an entry, if it is one.
func (r recovered) take(e *parley.Entry) {
	body, ok := markOf(e)
	if !ok || e.Stream.Kind() != parley.TopicEvents {
		return
	}
	stream := parley.MessagesOf(e.Stream.Site(), body.Conversation)
	if r[stream] == nil {
		r[stream] = map[marker]lastMark{}
	}
	by := marker{e.Sender, body.Responsible}
	was := r[stream][by]
	m := parley.Mark{Delivered: was.Delivered, Read: was.Read, Count: was.Count}.
		Merge(parley.Mark{Delivered: body.Delivered, Read: body.Read, Count: body.Count})
	body.Delivered, body.Read, body.Count = m.Delivered, m.Read, m.Count
	r[stream][by] = lastMark{body, max(was.at, e.At)}
}

// recoverMarks folds marks again, which may be there already. It comes behind the
// streams: a row that it made would hide from those what was decided in them.
func (p *projector) recoverMarks(ctx context.Context, f *folds, marks recovered) error {
	for stream, all := range marks {
		site, id, ok := stream.Conversation()
		if !ok {
			continue
		}
		c, err := f.load(ctx, site, id)
		if err != nil {
			return err
		}
		if !c.Exists() {
			continue
		}
		for by, m := range all {
			c = c.Marked(by.user, m.MarkedBody, m.at)
		}
		p.add(c)
	}
	return nil
}
