package checker

import (
	"encoding/json"
	"iter"
	"reflect"
	"slices"

	"github.com/parley-chat/parley"
)

// Check compares the journals with the streams. The run must be over: every
// sender has its acknowledgements and every device has had the time to catch
// up. What must hold:
//   - each stream is 1, 2, 3 … in the order it was read;
//   - a (sender, id) is stored once, with the content that was sent, and at the
//     position that was acknowledged;
//   - everything acknowledged is stored; what was refused is not, and nothing is
//     that nobody sent;
//   - messages of one device stand in the order in which it first sent them;
//   - each device has shown exactly what it is owed, in the stream's order;
//   - what was deleted is blank, with its edits, and nothing else is; in the end every
//     device shows the texts that the stream comes to;
//   - the marks that are left are the highest that were acknowledged, and never
//     fell for anybody;
//   - a register was set only by who knew its version, and is what the last entry
//     says; who came too late was told what it is.
//
// Messages of users without a journal, and control entries, are not traced to
// a sender.
func Check(journals []Record, streams []Stream) *Report {
	return CheckAll([][]Record{journals}, streams)
}

// CheckAll is Check for journals that have not been put into one. Of a long run they
// fill memory: they are not copied. The records of one device must be in order over
// all of them.
func CheckAll(journals [][]Record, streams []Stream) *Report {
	c := &check{report: &Report{}, stored: map[string]*stream{}, sent: map[message]json.RawMessage{}, targets: map[message]int64{}}
	c.readSent(journals)
	for _, s := range streams {
		c.stored[s.Conversation] = c.readStream(s)
	}
	devices, order := byDevice(journals)
	for _, d := range order {
		c.checkSender(d, devices[d])
		c.checkDevice(d, devices[d])
	}
	c.checkOrigins(journals, streams)
	c.checkMarks(journals, streams)
	for _, s := range streams {
		c.checkTexts(s)
		c.checkRegisters(s)
	}
	c.checkTold(journals)
	return c.report
}

// author names a message within a conversation.
type author struct{ sender, id string }

// stream is a stored stream, indexed.
type stream struct {
	entries  []parley.Entry
	bySeq    map[int64]*parley.Entry
	byAuthor map[author]*parley.Entry
	own      map[string]int64 // by sender: the newest entry; see ownMessages
	amended  bool             // there are edits or deletes
}

// message names a message of all.
type message struct{ conversation, sender, id string }

type check struct {
	report  *Report
	stored  map[string]*stream
	sent    map[message]json.RawMessage // bodies, as they were sent first
	targets map[message]int64           // of edits and deletes that were sent
}

// readSent takes up what was sent, for which no stream is needed.
func (c *check) readSent(journals [][]Record) {
	for r := range each(journals) {
		key := message{r.Conversation, r.User, r.ID}
		if _, again := c.sent[key]; again || r.Event != Sent || r.Type == parley.EntryMarked {
			continue
		}
		c.sent[key] = r.Body
		if e := (parley.Entry{Type: r.Type, Body: r.Body}); r.Type.Amends() {
			c.targets[key], _ = e.Target()
		}
	}
}

// each goes through records of several journals.
func each(journals [][]Record) iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		for _, records := range journals {
			for i := range records {
				if !yield(&records[i]) {
					return
				}
			}
		}
	}
}

// byDevice sorts journals by device. What stood together in one stays where it is.
func byDevice(journals [][]Record) (devices map[string][][]Record, order []string) {
	devices = map[string][][]Record{}
	for _, records := range journals {
		for len(records) > 0 {
			device := records[0].Device
			n := slices.IndexFunc(records, func(r Record) bool { return r.Device != device })
			if n < 0 {
				n = len(records)
			}
			if devices[device] == nil {
				order = append(order, device)
			}
			devices[device] = append(devices[device], records[:n])
			records = records[n:]
		}
	}
	return devices, order
}

// readStream indexes a stream and checks it in itself.
func (c *check) readStream(in Stream) *stream {
	r := c.report
	s := &stream{entries: in.Entries, bySeq: map[int64]*parley.Entry{}, byAuthor: map[author]*parley.Entry{}}
	var last int64
	for i := range in.Entries {
		e := &in.Entries[i]
		r.Stored++
		switch {
		case s.bySeq[e.Seq] != nil:
			r.find(&r.Doubled, "%s: seq %d is stored twice", in.Conversation, e.Seq)
		case e.Seq <= last:
			r.find(&r.Reordered, "%s: seq %d comes after seq %d", in.Conversation, e.Seq, last)
		case e.Seq > last+1:
			r.find(&r.Gaps, "%s: seq %d follows seq %d", in.Conversation, e.Seq, last)
		}
		last = max(last, e.Seq)
		s.amended = s.amended || e.Type.Amends() || e.Redacted
		by := author{e.Sender, e.ID}
		if first := s.byAuthor[by]; first != nil {
			r.find(&r.Doubled, "%s: message %s of %s is stored as seq %d and seq %d", in.Conversation, e.ID, e.Sender, first.Seq, e.Seq)
			continue
		}
		s.byAuthor[by], s.bySeq[e.Seq] = e, e
	}
	return s
}

// lookup returns the stored entry of a message, nil if there is none.
func (c *check) lookup(conversation, sender, id string) *parley.Entry {
	s := c.stored[conversation]
	if s == nil {
		return nil
	}
	return s.byAuthor[author{sender, id}]
}

// checkOrigins finds stored messages that their sender did not send.
func (c *check) checkOrigins(journals [][]Record, streams []Stream) {
	known := map[string]bool{}
	for r := range each(journals) {
		if r.Event == Sent {
			known[r.User] = true
		}
	}
	for _, s := range streams {
		for _, e := range s.Entries {
			if e.Type == parley.EntryMarked {
				continue // who has not sent a mark is found by checkMarks
			}
			if _, sent := c.sent[message{s.Conversation, e.Sender, e.ID}]; known[e.Sender] && !sent {
				c.report.find(&c.report.Unexplained, "%s: seq %d (message %s) was never sent by %s", s.Conversation, e.Seq, e.ID, e.Sender)
			}
		}
	}
}

// sameBody compares two bodies as JSON, so that spacing and the order of keys
// do not matter. An absent body is an empty object.
func sameBody(a, b json.RawMessage) bool { return equal(decoded(a), decoded(b)) }

func equal(a, b any) bool { return reflect.DeepEqual(a, b) }

func decoded(body json.RawMessage) any {
	if len(body) == 0 {
		return map[string]any{}
	}
	var v any
	if json.Unmarshal(body, &v) != nil {
		return string(body)
	}
	return v
}
