package storetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/parley-chat/parley"
)

// testWatch appends from many goroutines, with duplicates and refusals among
// the entries. Each new entry has been watched once when its append returns, in
// seq order.
func (s suite) testWatch(t *testing.T) {
	st := s.store(t)
	var mu sync.Mutex
	watched := map[parley.Stream][]parley.Entry{}
	st.Watch(func(entries []parley.Entry) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range entries {
			watched[e.Stream] = append(watched[e.Stream], e)
		}
	})
	ctx := testContext(t)
	const writers, streams, each = 24, 3, 30
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("msg_%04d", i)
				answers, err := st.Append(ctx, streamN(n%streams), []parley.Entry{
					text(fmt.Sprintf("vis_%d", n), id, "hello"),
					text("vis_same", id, "hello"),
					text(fmt.Sprintf("vis_%d", n), id, "conflict"),
				}, parley.ExpectAny)
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				e := answers[0].Entry
				mu.Lock()
				seen := int64(len(watched[e.Stream]))
				mu.Unlock()
				if seen < e.Seq {
					t.Errorf("append of %s %d returned when %d had been watched", e.Stream, e.Seq, seen)
				}
			}
		})
	}
	wg.Wait()
	for n := range streams {
		checkDense(t, watched[streamN(n)])
		equal(t, "watched", watched[streamN(n)], mustRead(t, st, streamN(n)))
	}
}
