package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// indexed makes documents of words as talk has them: the n-th word of the
// vocabulary is about n times as rare as the first.
func indexed(b *testing.B, s *sqlite.Store, from, to int) {
	b.Helper()
	r := rand.New(rand.NewPCG(1, uint64(from)))
	zipf := rand.NewZipf(r, 1.1, 3, 50_000)
	var docs []bridge.Document
	for i := from; i < to; i++ {
		d := bridge.Document{
			Place: bridge.Place{At: 1_700_000_000_000 + int64(i)*1500, Stream: parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", i%(to/20+1))), Seq: int64(i + 1)},
			Text:  int64(i + 1), Visitor: fmt.Sprintf("vis_%d", i%5000), Sender: fmt.Sprintf("vis_%d", i%5000),
		}
		for range 22 {
			d.Tokens = append(d.Tokens, fmt.Sprintf("w%d", zipf.Uint64()))
		}
		if docs = append(docs, d); len(docs) == 250 || i+1 == to {
			if err := s.SaveDocuments(b.Context(), docs, d.At); err != nil {
				b.Fatal(err)
			}
			docs = docs[:0]
		}
	}
}

// BenchmarkSaveDocuments measures documents of 22 tokens, 250 in a transaction.
func BenchmarkSaveDocuments(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir)
	cpu := cpuTime(b)
	b.ResetTimer()
	indexed(b, s, 0, b.N)
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "CPU-µs/document")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "parley.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/float64(b.N), "B/document")
}

// BenchmarkFind measures a page of 50 among 200,000 documents.
func BenchmarkFind(b *testing.B) {
	s := open(b, b.TempDir())
	defer func() { _ = s.Close() }()
	indexed(b, s, 0, 200_000)
	for _, c := range []struct {
		name string
		q    bridge.DocumentQuery
	}{
		{"common", bridge.DocumentQuery{Tokens: []string{"w0"}}},
		{"two common", bridge.DocumentQuery{Tokens: []string{"w0", "w1"}}},
		{"rare", bridge.DocumentQuery{Tokens: []string{"w9000"}}},
		{"common and rare", bridge.DocumentQuery{Tokens: []string{"w0", "w9000"}}},
		{"two that hardly meet", bridge.DocumentQuery{Tokens: []string{"w300", "w301", "w0"}}},
		{"none", bridge.DocumentQuery{Tokens: []string{"nothing"}}},
		{"in a conversation", bridge.DocumentQuery{Tokens: []string{"w0"}, Conversation: "cnv_7"}},
		{"of a visitor", bridge.DocumentQuery{Tokens: []string{"w0"}, Visitor: "vis_7"}},
		{"old", bridge.DocumentQuery{Tokens: []string{"w0"}, To: 1_700_000_000_000 + 50_000*1500}},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.q.Site, c.q.Kinds, c.q.Limit = "ste_a", []parley.TopicKind{parley.TopicMessages}, 50
			n := 0
			for range b.N {
				page, err := s.FindDocuments(b.Context(), c.q)
				if err != nil {
					b.Fatal(err)
				}
				n = len(page)
			}
			b.ReportMetric(float64(n), "found")
		})
	}
}

// BenchmarkRemoveDocuments measures taking documents out of an index of 50,000,
// 100 in a transaction.
func BenchmarkRemoveDocuments(b *testing.B) {
	s := open(b, b.TempDir())
	defer func() { _ = s.Close() }()
	const there = 50_000
	indexed(b, s, 0, there)
	cpu := cpuTime(b)
	b.ResetTimer()
	var docs []bridge.Document
	for n := range min(b.N, there) {
		i := n * 7919 % there
		docs = append(docs, bridge.Document{Place: bridge.Place{
			At: 1_700_000_000_000 + int64(i)*1500, Stream: parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", i%(there/20+1))), Seq: int64(i + 1),
		}, Text: there * 2})
		if len(docs) < 100 && n+1 < b.N {
			continue
		}
		if err := s.SaveDocuments(b.Context(), docs, 1); err != nil {
			b.Fatal(err)
		}
		docs = docs[:0]
	}
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "CPU-µs/document")
}
