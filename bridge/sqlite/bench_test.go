package sqlite_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// BenchmarkAppend measures durable appends: each writer waits for its answer
// before the next one, each in a conversation of its own.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := open(b, b.TempDir())
			defer func() { _ = s.Close() }()
			body := parley.NewText("", "Where is my parcel? It should have come on Tuesday.").Body
			digest := make([]byte, 32)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for n := range writers {
				wg.Go(func() {
					stream := parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", n))
					sender := fmt.Sprintf("vis_%d", n)
					for next.Add(1) <= int64(b.N) {
						e := parley.Entry{
							ID: parley.NewID(parley.PrefixMessage), Sender: sender, Device: "dev_a", Role: parley.RoleVisitor,
							Type: parley.EntryText, Body: body, Digest: digest,
						}
						if _, err := s.Append(b.Context(), stream, []parley.Entry{e}, parley.ExpectAny); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			b.ReportMetric(float64(s.Stats().Jobs)/float64(s.Stats().Batches), "callers/batch")
		})
	}
}

// BenchmarkRead measures a page of 50 of one conversation among 2,000.
func BenchmarkRead(b *testing.B) {
	s := open(b, b.TempDir())
	defer func() { _ = s.Close() }()
	fill(b, s, 2000, 100)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		stream := parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", i%2000))
		page, err := s.Read(b.Context(), stream, 25, 50)
		if err != nil || len(page) != 50 {
			b.Fatalf("page of %d, %v", len(page), err)
		}
	}
}

func BenchmarkHead(b *testing.B) {
	s := open(b, b.TempDir())
	defer func() { _ = s.Close() }()
	fill(b, s, 100, 10)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := s.Head(b.Context(), "ste_a/c/cnv_7/messages"); err != nil {
			b.Fatal(err)
		}
	}
}

// fill writes each messages to each of so many conversations.
func fill(b *testing.B, s *sqlite.Store, conversations, each int) {
	b.Helper()
	var wg sync.WaitGroup
	for w := range 50 {
		wg.Go(func() {
			for n := w; n < conversations; n += 50 {
				var entries []parley.Entry
				for i := range each {
					entries = append(entries, message("vis_a", fmt.Sprintf("msg_%04d", i), "Where is my parcel?"))
				}
				if _, err := s.Append(b.Context(), parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", n)), entries, parley.ExpectAny); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
