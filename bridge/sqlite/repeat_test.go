package sqlite_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// A sender who repeats everything after a week, or after years, or with the
// clock set back, is told the same positions: of a store that has been open all
// the while, and of one that was opened anew.
func TestRepeatsAfterDays(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := &clock{}
	c.set(began)
	dir := t.TempDir()
	s := openAt(t, dir, c.now)
	stream := parley.MessagesOf("ste_a", "cnv_a")
	const n = 10_000 // more than the appender remembers of a stream that it has not written
	var all []parley.Entry
	for i := range n {
		all = append(all, parley.Entry{
			ID: fmt.Sprintf("msg_%d", i), Sender: "vis_a", Type: parley.EntryText, Body: []byte(`{"text":"hello"}`), Digest: []byte{byte(i)},
		})
	}
	send := func() (answers []parley.Appended) {
		for part := range slices.Chunk(all, bridge.MaxAppend) {
			some, err := s.Append(t.Context(), stream, part, parley.ExpectAny)
			must(t, err)
			answers = append(answers, some...)
		}
		return answers
	}
	first := send()
	for _, later := range []time.Duration{7 * 24 * time.Hour, 5 * 365 * 24 * time.Hour, -time.Hour} {
		for _, opened := range []bool{false, true} {
			c.set(began.Add(later))
			if opened {
				must(t, s.Close())
				s = openAt(t, dir, c.now)
			}
			again := send()
			for i := range again {
				if again[i].Err != nil || !again[i].Duplicate || again[i].Entry.Seq != first[i].Entry.Seq {
					t.Fatalf("after %v, opened anew %v: message %d is answered with %+v", later, opened, i, again[i])
				}
			}
			head, err := s.Head(t.Context(), stream)
			must(t, err)
			equal(t, "head", head.Seq, int64(n))
		}
	}
	must(t, s.Close())
}
