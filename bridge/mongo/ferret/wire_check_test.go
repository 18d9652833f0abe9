package ferret_test

import (
	"bytes"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
)

// stored is an entry as it is in the database, where a checker must know it.
type stored struct {
	Seq    int64
	ID     string `bson:"id"`
	Sender string
	Type   string
	Body   []byte
	Digest []byte
}

// check compares what writers were answered and watchers were told with what the server
// itself has, without the store in between.
func (s *sea) check(t *testing.T) {
	t.Helper()
	streams := map[parley.Stream]bool{}
	for _, c := range s.calls {
		streams[c.stream] = true
	}
	for stream := range streams {
		docs := s.read(t, stream)
		s.checkDense(stream, docs)
		s.checkAnswers(stream, docs)
		for _, n := range s.storm.nodes {
			s.checkTold(n, stream, docs)
			s.checkRead(t, n, stream, docs)
		}
	}
	for _, n := range s.storm.nodes {
		s.checkTimes(n)
	}
	for _, p := range s.problems {
		t.Error(p)
	}
}

func (s *sea) read(t *testing.T, stream parley.Stream) (docs []stored) {
	t.Helper()
	cursor, err := s.storm.direct.Collection("entries").Find(t.Context(),
		bson.D{{Key: "stream", Value: string(stream)}}, options.Find().SetSort(bson.D{{Key: "seq", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	if err := cursor.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	return docs
}

// checkDense: positions without holes, each identity once, each sender's in order.
func (s *sea) checkDense(stream parley.Stream, docs []stored) {
	seen, newest := map[string]bool{}, map[string]string{}
	for i, d := range docs {
		if d.Seq != int64(i+1) {
			s.problem("hole: %s has %d at place %d", stream, d.Seq, i+1)
		}
		if seen[d.Sender+" "+d.ID] {
			s.problem("doubled: %s %s of %s", stream, d.ID, d.Sender)
		}
		seen[d.Sender+" "+d.ID] = true
		if d.ID < newest[d.Sender] {
			s.problem("reordered: %s has %s behind %s", stream, d.ID, newest[d.Sender])
		}
		newest[d.Sender] = d.ID
	}
}

// checkAnswers: what was acknowledged is there, where the answer says, and nothing else is.
func (s *sea) checkAnswers(stream parley.Stream, docs []stored) {
	sent := 0
	for _, c := range s.calls {
		if c.stream != stream {
			continue
		}
		for i, a := range c.answers {
			e := c.entries[i]
			if a.Err != nil {
				s.checkRefused(c, e, a.Err, docs)
				continue
			}
			sent++
			if a.Entry.Seq < 1 || a.Entry.Seq > int64(len(docs)) {
				s.problem("lost: %s has no %d, which is %s", stream, a.Entry.Seq, e.ID)
				continue
			}
			if d := docs[a.Entry.Seq-1]; d.ID != e.ID || d.Sender != e.Sender || !bytes.Equal(d.Digest, e.Digest) {
				s.problem("lost: %s has %s at %d, not %s", stream, d.ID, a.Entry.Seq, e.ID)
			}
			s.checkCondition(c, a.Entry.Seq, e.Sender, docs)
		}
	}
	if len(docs) != sent {
		s.problem("unexplained: %s has %d entries, %d were acknowledged", stream, len(docs), sent)
	}
}

// checkRefused: only claims that came too late are, and they are not there.
func (s *sea) checkRefused(c call, e parley.Entry, err error, docs []stored) {
	if c.expect < 0 {
		s.problem("refused: %s: %v", e.ID, err)
		return
	}
	for _, d := range docs {
		// A later attempt of the same claim, with another condition, may be.
		if d.ID == e.ID && d.Sender == e.Sender && d.Seq <= c.expect {
			s.problem("refused, and there: %s at %d", e.ID, d.Seq)
		}
	}
}

// checkCondition: nobody else's control entry is between what was expected and what came.
func (s *sea) checkCondition(c call, seq int64, sender string, docs []stored) {
	if c.expect < 0 {
		return
	}
	for _, d := range docs {
		if d.Seq > c.expect && d.Seq < seq && parley.EntryType(d.Type).Control() && d.Sender != sender {
			s.problem("stale: %s expected %d, is at %d, and %s has %d", sender, c.expect, seq, d.Sender, d.Seq)
		}
	}
}

// checkTold: every entry once, in order, without holes. A node is told of others'
// entries when it meets them, so that it may not know the newest.
func (s *sea) checkTold(n *node, stream parley.Stream, docs []stored) {
	told := n.toldOf(stream)
	for i, e := range told {
		if i == 0 && len(s.storm.nodes) > 1 && e.Seq > 1 {
			// what was there before its first own entry it need not be told
			docs = docs[min(int(e.Seq-1), len(docs)):]
		}
		if i >= len(docs) || e.Seq != docs[i].Seq || e.ID != docs[i].ID || e.Sender != docs[i].Sender {
			s.problem("told wrongly of %s: %s", stream, describe(told))
			return
		}
	}
	if len(s.storm.nodes) == 1 && len(told) != len(docs) {
		s.problem("told of %d of %d of %s", len(told), len(docs), stream)
	}
	for _, c := range s.calls {
		for _, a := range c.answers {
			if c.stream == stream && a.Err == nil && len(told) > 0 && a.Entry.Seq > told[len(told)-1].Seq && len(s.storm.nodes) == 1 {
				s.problem("answered, not told: %s at %d", a.Entry.ID, a.Entry.Seq)
			}
		}
	}
}

func (n *node) toldOf(stream parley.Stream) (told []parley.Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.told {
		if e.Stream == stream {
			told = append(told, e)
		}
	}
	return told
}

// checkTimes: who comes back is sent what is newer than what it saw, so nothing older
// is told afterwards.
func (s *sea) checkTimes(n *node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := 1; i < len(n.told); i++ {
		if a, b := n.told[i-1], n.told[i]; b.At < a.At {
			s.problem("told back in time: %s %d of %d behind %s %d of %d", b.Stream, b.Seq, b.At, a.Stream, a.Seq, a.At)
			return
		}
	}
}

// checkRead: readers get what is there, without what was deleted.
func (s *sea) checkRead(t *testing.T, n *node, stream parley.Stream, docs []stored) {
	t.Helper()
	entries, err := n.store.Read(t.Context(), stream, 0, len(docs)+1)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(docs) {
		s.problem("read %d of %d of %s", len(entries), len(docs), stream)
		return
	}
	deleted := map[int64]bool{}
	for _, e := range entries {
		if target, ok := e.Target(); ok && e.Type == parley.EntryDelete {
			deleted[target] = true
		}
	}
	for i, e := range entries {
		if e.Seq != docs[i].Seq || e.ID != docs[i].ID || !bytes.Equal(e.Digest, docs[i].Digest) {
			s.problem("read %s at %d of %s, %s is there", e.ID, e.Seq, stream, docs[i].ID)
		}
		if deleted[e.Seq] && (!e.Redacted || len(e.Body) > 2) {
			s.problem("deleted, and read: %s at %d of %s", e.ID, e.Seq, stream)
		}
	}
}

func describe(entries []parley.Entry) (text string) {
	for _, e := range entries {
		text += fmt.Sprintf(" %d:%s", e.Seq, e.ID)
	}
	return text
}
