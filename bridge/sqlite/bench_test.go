package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// BenchmarkAppend measures durable appends: each writer waits for its answer
// before the next one, each in a conversation of its own. "all/s" and the CPU
// time include bringing everything into the database. For what lasts, give
// -benchtime=15s and look at all/s.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := open(b, b.TempDir())
			defer func() { _ = s.Close() }()
			b.ReportAllocs()
			b.ResetTimer()
			cpu := cpuTime(b)
			appendAll(b, s, writers)
			took, stats := b.Elapsed(), s.Stats()
			for s.Stats().Pending > 0 {
				time.Sleep(time.Millisecond)
			}
			b.ReportMetric(float64(b.N)/took.Seconds(), "appends/s")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "all/s")
			b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "CPU-µs/append")
			b.ReportMetric(float64(stats.Jobs)/float64(stats.Batches), "callers/batch")
			b.ReportMetric(float64(stats.Pending), "pending")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// appendAll appends b.N messages.
func appendAll(b *testing.B, s *sqlite.Store, writers int) {
	body := parley.NewText("", "Where is my parcel? It should have come on Tuesday.").Body
	digest := make([]byte, 32)
	var next atomic.Int64
	var wg sync.WaitGroup
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
}

// cpuTime returns what this process has used, the kernel's part included.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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

// BenchmarkVerify measures the check of a whole store.
func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir)
	fill(b, s, 2000, 50)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	s = open(b, dir)
	defer func() { _ = s.Close() }()
	b.ResetTimer()
	for range b.N {
		if err := s.Verify(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "parley.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())*float64(b.N)/b.Elapsed().Seconds()/(1<<20), "MiB/s")
}

// BenchmarkScrub measures reading all pages of 200 MiB, without a rest.
func BenchmarkScrub(b *testing.B) {
	dir := b.TempDir()
	if err := open(b, dir).Close(); err != nil {
		b.Fatal(err)
	}
	const size = 200 << 20
	execFile(b, dir, fmt.Sprintf(`CREATE TABLE filling (x); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO filling SELECT zeroblob(4000) FROM n`, size/4096))
	s := open(b, dir)
	defer func() { _ = s.Close() }()
	cpu := cpuTime(b)
	b.ResetTimer()
	for range b.N {
		if err := s.Scrub(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(size*float64(b.N)/b.Elapsed().Seconds()/(1<<20), "MiB/s")
	b.ReportMetric(size*float64(b.N)/(cpuTime(b)-cpu).Seconds()/(1<<20), "MiB/CPU-s")
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

// fill writes each messages to each of so many conversations, and waits until
// they are in the database.
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
	if _, err := s.EntriesSince(b.Context(), 0, nil, 1); err != nil {
		b.Fatal(err)
	}
}
