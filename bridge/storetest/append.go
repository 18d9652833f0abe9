package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

func (s suite) testAppend(t *testing.T) {
	t.Run("fills in what the store decides", s.appendFillsIn)
	t.Run("keeps every byte", s.appendKeepsBytes)
	t.Run("answers a duplicate with the first one", s.appendDuplicate)
	t.Run("refuses other content under the same id", s.appendConflict)
	t.Run("sees duplicates within one call", s.appendDuplicateInCall)
	t.Run("goes on behind a refused entry", s.appendRefusedInTheMiddle)
	t.Run("gives dense seqs to many writers", s.appendConcurrently)
	t.Run("stores racing duplicates once", s.appendRacingDuplicates)
	t.Run("refuses calls without entries or with too many", s.appendBounds)
	t.Run("leaves no hole when callers give up", s.appendCancelled)
}

func (s suite) appendFillsIn(t *testing.T) {
	st := s.store(t)
	e := text("vis_a", "msg_0001", "hello")
	e.Stream, e.Seq, e.At, e.Count = "other", 99, 98, 97 // the caller's are ignored
	first := mustAppend(t, st, stream, control("system", "opened-1", parley.EntryOpened), e)
	if first[0].At == 98 || first[0].At <= 0 || first[1].At < first[0].At {
		t.Errorf("server times %d, %d", first[0].At, first[1].At)
	}
	want := text("vis_a", "msg_0001", "hello")
	want.Stream, want.Seq, want.Count, want.At = stream, 2, 1, first[1].At
	equal(t, "answer", first[1], want)
	equal(t, "stored", mustRead(t, st, stream), first)
	equal(t, "head", mustHead(t, st, stream), parley.Head{Epoch: st.Epoch(), Seq: 2, Control: 1, Count: 1})
	equal(t, "head of an empty stream", mustHead(t, st, streamN(9)), parley.Head{Epoch: st.Epoch()})
}

func (s suite) appendKeepsBytes(t *testing.T) {
	st := s.store(t)
	var want []parley.Entry
	for i, body := range []string{
		"", "你好，世界", "👩‍👩‍👧‍👦 🏳️‍🌈", "e\u0301 is not é", "line\r\n\ttab \u2028 \u0000", `"quoted" \ <b>`,
		strings.Repeat("长", 64<<10/3-10),
	} {
		e := text("vis_a", fmt.Sprintf("msg_%04d", i), body)
		want = append(want, mustAppend(t, st, stream, e)...)
		if string(want[i].Body) != string(e.Body) {
			t.Errorf("body %d came back changed", i)
		}
	}
	raw := text("vis_a", "msg_raw1", "")
	raw.Body, raw.Digest = []byte("{}"), []byte{0, 1, 2, 0xff, 0}
	want = append(want, mustAppend(t, st, stream, raw)...)
	equal(t, "stored", mustRead(t, st, stream), want)
}

func (s suite) appendDuplicate(t *testing.T) {
	st := s.store(t)
	first := mustAppend(t, st, stream, text("vis_a", "msg_0001", "one"), text("vis_a", "msg_0002", "two"))
	other := mustAppend(t, st, stream, text("vis_b", "msg_0001", "one")) // another sender's id is another id
	equal(t, "seq of the same id from another sender", other[0].Seq, int64(3))
	elsewhere := mustAppend(t, st, streamN(1), text("vis_a", "msg_0001", "one"))
	equal(t, "seq of the same id in another stream", elsewhere[0].Seq, int64(1))

	again := text("vis_a", "msg_0001", "one")
	again.Device, again.Role = "dev_2", parley.RoleAgent
	answers, err := st.Append(testContext(t), stream, []parley.Entry{again}, parley.ExpectAny)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "answer", answers, []parley.Appended{{Entry: first[0], Duplicate: true}})
	equal(t, "head", mustHead(t, st, stream).Seq, int64(3))
}

func (s suite) appendConflict(t *testing.T) {
	st := s.store(t)
	first := mustAppend(t, st, stream, text("vis_a", "msg_0001", "one"))
	answers, err := st.Append(testContext(t), stream, []parley.Entry{text("vis_a", "msg_0001", "changed")}, parley.ExpectAny)
	if err != nil {
		t.Fatal(err)
	}
	checkConflict(t, answers[0])
	equal(t, "stored", mustRead(t, st, stream), first)
}

func checkConflict(t *testing.T, a parley.Appended) {
	t.Helper()
	var refusal *parley.Error
	if !errors.As(a.Err, &refusal) || refusal.Code != parley.CodeConflict || a.Duplicate {
		t.Errorf("answer %+v, want a refusal with code %s", a, parley.CodeConflict)
	}
}

func (s suite) appendDuplicateInCall(t *testing.T) {
	st := s.store(t)
	answers, err := st.Append(testContext(t), stream, []parley.Entry{
		text("vis_a", "msg_0001", "one"), text("vis_a", "msg_0001", "one"), text("vis_a", "msg_0001", "changed"),
	}, parley.ExpectAny)
	if err != nil {
		t.Fatal(err)
	}
	if !answers[1].Duplicate || answers[0].Duplicate {
		t.Errorf("duplicate: %v, %v; want false, true", answers[0].Duplicate, answers[1].Duplicate)
	}
	equal(t, "second answer", answers[1].Entry, answers[0].Entry)
	checkConflict(t, answers[2])
	equal(t, "stored", mustRead(t, st, stream), []parley.Entry{answers[0].Entry})
}

func (s suite) appendRefusedInTheMiddle(t *testing.T) {
	st := s.store(t)
	mustAppend(t, st, stream, text("vis_a", "msg_0001", "one"))
	answers, err := st.Append(testContext(t), stream, []parley.Entry{
		text("vis_a", "msg_0002", "two"), text("vis_a", "msg_0001", "changed"), text("vis_a", "msg_0003", "three"),
	}, parley.ExpectAny)
	if err != nil {
		t.Fatal(err)
	}
	checkConflict(t, answers[1])
	equal(t, "seqs", []int64{answers[0].Entry.Seq, answers[2].Entry.Seq}, []int64{2, 3})
	checkDense(t, mustRead(t, st, stream))
}

// appendConcurrently checks each writer's order as well: what one goroutine
// appends one after the other has rising seqs.
func (s suite) appendConcurrently(t *testing.T) {
	st := s.store(t)
	const writers, streams, each = 32, 4, 40
	ctx := testContext(t)
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			var last int64
			for i := range each {
				e := text(fmt.Sprintf("vis_%d", n), fmt.Sprintf("msg_%04d", i), "hello")
				answers, err := st.Append(ctx, streamN(n%streams), []parley.Entry{e}, parley.ExpectAny)
				if err != nil || answers[0].Err != nil {
					t.Errorf("append: %v, %+v", err, answers)
					return
				}
				if answers[0].Entry.Seq <= last {
					t.Errorf("seq %d after %d", answers[0].Entry.Seq, last)
				}
				last = answers[0].Entry.Seq
			}
		})
	}
	wg.Wait()
	for n := range streams {
		entries := mustRead(t, st, streamN(n))
		equal(t, "entries", len(entries), writers/streams*each)
		checkDense(t, entries)
		next := map[string]int{}
		for _, e := range entries {
			if want := fmt.Sprintf("msg_%04d", next[e.Sender]); e.ID != want {
				t.Fatalf("%s of %s comes where %s should", e.ID, e.Sender, want)
			}
			next[e.Sender]++
		}
	}
}

func (s suite) appendRacingDuplicates(t *testing.T) {
	st := s.store(t)
	const ids, racers = 100, 64
	ctx := testContext(t)
	for i := range ids {
		e := text("vis_a", fmt.Sprintf("msg_%04d", i), "hello")
		var wg sync.WaitGroup
		var mu sync.Mutex
		firsts := 0
		for range racers {
			wg.Go(func() {
				answers, err := st.Append(ctx, stream, []parley.Entry{e}, parley.ExpectAny)
				if err != nil || answers[0].Err != nil || answers[0].Entry.Seq != int64(i+1) {
					t.Errorf("append: %v, %+v; want seq %d", err, answers, i+1)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if !answers[0].Duplicate {
					firsts++
				}
			})
		}
		wg.Wait()
		if firsts != 1 {
			t.Fatalf("%d of %d racers were told to be first", firsts, racers)
		}
	}
	entries := mustRead(t, st, stream)
	equal(t, "entries", len(entries), ids)
	checkDense(t, entries)
}

func (s suite) appendBounds(t *testing.T) {
	st := s.store(t)
	many := make([]parley.Entry, bridge.MaxAppend+1)
	for i := range many {
		many[i] = text("vis_a", fmt.Sprintf("msg_%04d", i), "hello")
	}
	for _, entries := range [][]parley.Entry{nil, many} {
		if _, err := st.Append(testContext(t), stream, entries, parley.ExpectAny); err == nil {
			t.Errorf("append of %d entries succeeded", len(entries))
		}
	}
	if _, err := st.Append(testContext(t), "", many[:1], parley.ExpectAny); err == nil {
		t.Error("append to a stream without a name succeeded")
	}
	equal(t, "head", mustHead(t, st, stream).Seq, int64(0))
	mustAppend(t, st, stream, many[:bridge.MaxAppend]...)
}

// appendCancelled lets callers give up at all kinds of moments. Whatever became
// of their entries, the same ones can be appended again.
func (s suite) appendCancelled(t *testing.T) {
	st := s.store(t)
	const callers, each = 16, 25
	var wg sync.WaitGroup
	for n := range callers {
		wg.Go(func() {
			for i := range each {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				e := text(fmt.Sprintf("vis_%d", n), fmt.Sprintf("msg_%04d", i), "hello")
				if _, err := st.Append(ctx, stream, []parley.Entry{e}, parley.ExpectAny); err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for n := range callers {
		for i := range each {
			e := text(fmt.Sprintf("vis_%d", n), fmt.Sprintf("msg_%04d", i), "hello")
			answers, err := st.Append(testContext(t), stream, []parley.Entry{e}, parley.ExpectAny)
			if err != nil || answers[0].Err != nil {
				t.Fatalf("append again: %v, %+v", err, answers)
			}
		}
	}
	entries := mustRead(t, st, stream)
	equal(t, "entries", len(entries), callers*each)
	checkDense(t, entries)
}
