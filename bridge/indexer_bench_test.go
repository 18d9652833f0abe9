package bridge_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// BenchmarkRecord measures what the search index costs those who send: 100
// visitors, each of whom waits for the answer, with and without an index.
func BenchmarkRecord(b *testing.B) {
	for _, indexed := range []bool{false, true} {
		b.Run(fmt.Sprintf("indexed=%v", indexed), func(b *testing.B) {
			store, err := sqlite.Open(b.Context(), sqlite.Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			s := bridge.Store(store)
			if !indexed {
				s = unindexed{store}
			}
			br, err := bridge.New(b.Context(), s, bridge.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			cpu := cpuTime(b)
			recordAll(b, br, 100)
			took := b.Elapsed()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/took.Seconds(), "records/s")
			b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "CPU-µs/record")
			b.ReportMetric(float64(br.Stats().Indexed)/float64(b.N), "indexed-meanwhile")
			b.ReportMetric(0, "ns/op")
			if err := br.Close(); err != nil {
				b.Fatal(err)
			}
			if err := store.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// recordAll sends b.N messages.
func recordAll(b *testing.B, br *bridge.Bridge, visitors int) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for n := range visitors {
		who := parley.Identity{Site: site, User: fmt.Sprintf("vis_%d", n), Device: "dev_1", Role: parley.RoleVisitor}
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				d := parley.NewText(fmt.Sprintf("msg_%08d", i), fmt.Sprintf("Where is my parcel %d? It should have come on Tuesday. 我的退款", i))
				if _, err := br.Record(b.Context(), who, "c"+who.User, []parley.Draft{d}); err != nil {
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
