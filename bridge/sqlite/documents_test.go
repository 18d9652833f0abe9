package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

// documentOf makes a document of an entry with the words of its text.
func documentOf(stream parley.Stream, seq, text, at int64, words string) bridge.Document {
	return bridge.Document{
		Place: bridge.Place{At: at, Stream: stream, Seq: seq}, Text: text,
		Visitor: "vis_a", Sender: "vis_a", Tokens: strings.Fields(words),
	}
}

func find(t *testing.T, s *sqlite.Store, word string) []bridge.Found {
	t.Helper()
	found, err := s.FindDocuments(t.Context(), bridge.DocumentQuery{
		Site: "ste_a", Kinds: []parley.TopicKind{parley.TopicMessages}, Tokens: []string{word}, Limit: 100_000,
	})
	must(t, err)
	return found
}

// TestPurgeIndex deletes messages that are in the search index, and looks for
// their words there and in every file: in clear and as the index writes them.
func TestPurgeIndex(t *testing.T) {
	dir, r := t.TempDir(), rand.New(rand.NewPCG(3, 4))
	s := purging(t, dir)
	const messages = 600
	type spoken struct {
		stream parley.Stream
		seq    int64
		secret string
	}
	var all []spoken
	var docs []bridge.Document
	for n := range messages {
		stream := parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", n%40))
		m := spoken{stream: stream, secret: fmt.Sprintf("SECRET%06dS", n)}
		text := fmt.Sprintf("all %s w%d w%d", m.secret, r.IntN(300), r.IntN(3000))
		e := message("vis_a", fmt.Sprintf("msg_%06d", n), text)
		e.Digest = []byte("digest")
		answers, err := s.Append(t.Context(), stream, []parley.Entry{e}, parley.ExpectAny)
		must(t, err)
		e = answers[0].Entry
		m.seq = e.Seq
		all = append(all, m)
		docs = append(docs, documentOf(stream, e.Seq, e.Seq, e.At, text))
		if len(docs) == 200 || n == messages-1 {
			must(t, s.SaveDocuments(t.Context(), docs, e.At))
			docs = docs[:0]
		}
	}
	var gone []string
	var deleted []spoken
	for i, m := range all {
		if i%3 > 0 {
			continue
		}
		_, err := s.Append(t.Context(), m.stream, []parley.Entry{amendment("agt_a", fmt.Sprintf("msg_d%06d", i), parley.EntryDelete, fmt.Sprintf(`{"seq":%d}`, m.seq))}, parley.ExpectAny)
		must(t, err)
		deleted = append(deleted, m)
		gone = append(gone, m.secret)
		gone = append(gone, sqlite.Term("ste_a", parley.TopicMessages, m.secret)...)
	}
	eventually(t, func() string {
		if found := storetest.FilesWith(t, dir, gone...); len(found) > 0 {
			return fmt.Sprintf("%d of %d words and terms are in the files: %s", len(found), len(gone), strings.Join(found[:min(5, len(found))], ", "))
		}
		return ""
	})
	for _, m := range deleted { // an indexer that has read the text before comes late
		docs = append(docs, documentOf(m.stream, m.seq, m.seq, 1000, "all "+m.secret))
	}
	must(t, s.SaveDocuments(t.Context(), docs, 1))
	for _, m := range deleted {
		if found := find(t, s, m.secret); len(found) > 0 {
			t.Fatalf("%s is found: %v", m.secret, found)
		}
	}
	if found := find(t, s, "all"); len(found) != messages-len(deleted) {
		t.Errorf("%d documents are found, want %d", len(found), messages-len(deleted))
	}
	must(t, s.Verify(t.Context()))
	must(t, s.Close())
	if found := storetest.FilesWith(t, dir, gone...); len(found) > 0 {
		t.Errorf("closed: %v", found)
	}
}

// TestIndexOfOtherRules opens a folder whose index was made by another version of
// the analyser.
func TestIndexOfOtherRules(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.SaveDocuments(t.Context(), []bridge.Document{documentOf("ste_a/c/cnv_a/messages", 1, 1, 1000, "hello")}, 1000))
	must(t, s.Close())
	check := func(when string, found int, position int64) {
		t.Helper()
		s = open(t, dir)
		defer func() { must(t, s.Close()) }()
		at, err := s.IndexedTo(t.Context())
		must(t, err)
		if got := find(t, s, "hello"); len(got) != found || at != position {
			t.Errorf("%s: %d documents, position %d; want %d and %d", when, len(got), at, found, position)
		}
		must(t, s.Verify(t.Context()))
	}
	check("the same rules", 1, 1000)
	execFile(t, dir, `UPDATE meta SET value = value - 1 WHERE key = 'index_version'`)
	check("other rules", 0, 0)
	check("after that", 0, 0)
}
