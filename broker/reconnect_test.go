package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-chat/parley"
)

// A device comes back when 10 of its conversations have changed: among 100, and
// among 10,000. What it costs should be about the same. The figures are in the
// architecture page.
func BenchmarkReconnect(b *testing.B) {
	for _, all := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("10 changed of %d", all), func(b *testing.B) {
			const changed = 10
			w := newWorld(b)
			who := w.visitor()
			var ids []string
			for range all {
				ids = append(ids, w.conversation(who, 1))
			}
			c := w.resume(b, who, 5)
			c.followMessages()
			await(b, func() string { return w.following(who) })
			var waited time.Duration
			for b.Loop() {
				b.StopTimer()
				w.age()
				w.away(c)
				for i := range changed {
					w.write(who, ids[i*all/changed], 1)
				}
				last := parley.MessagesOf(w.site.ID, ids[(changed-1)*all/changed])
				head, err := w.store.Head(b.Context(), last)
				must(b, err)
				b.StartTimer()
				began := time.Now()
				c = w.resume(b, who, 5)
				for i := range changed {
					e := c.expectEntry(c.messagesTopic(ids[i*all/changed]))
					if i == changed-1 && e.Seq != head.Seq {
						b.Fatalf("seq %d came, the head is %d", e.Seq, head.Seq)
					}
				}
				waited += time.Since(began)
			}
			b.ReportMetric(float64(waited.Microseconds())/1000/float64(b.N), "ms/reconnect")
		})
	}
}
