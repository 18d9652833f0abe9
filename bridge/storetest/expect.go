package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

func (s suite) testExpect(t *testing.T) {
	t.Run("refuses behind a control entry", s.expectStale)
	t.Run("does not mind messages", s.expectMessages)
	t.Run("checks duplicates first", s.expectDuplicateFirst)
	t.Run("does not count a call's own control entries", s.expectOwnControl)
	t.Run("counts others' control entries behind one's own", s.expectOthersBehindOwn)
	t.Run("has one winner", s.expectOneWinner)
}

func expectOne(t *testing.T, st bridge.Store, expect int64, e parley.Entry) parley.Appended {
	t.Helper()
	answers, err := st.Append(testContext(t), stream, []parley.Entry{e}, expect)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return answers[0]
}

func (s suite) expectStale(t *testing.T) {
	st := s.store(t)
	mustAppend(t, st, stream, control("system", "opened-1", parley.EntryOpened), text("vis_a", "msg_0001", "one"))
	if a := expectOne(t, st, 0, control("agt_a", "claim-01", parley.EntryAssigned)); !errors.Is(a.Err, parley.ErrStale) {
		t.Errorf("expecting 0: %+v, want %v", a, parley.ErrStale)
	}
	for i, expect := range []int64{1, 3, 4, 100} {
		if a := expectOne(t, st, expect, control("agt_a", fmt.Sprintf("claim-1%d", i), parley.EntryAssigned)); a.Err != nil {
			t.Errorf("expecting %d: %v", expect, a.Err)
		}
	}
	equal(t, "head", mustHead(t, st, stream), parley.Head{Epoch: st.Epoch(), Seq: 6, Control: 6, Count: 1})
}

func (s suite) expectMessages(t *testing.T) {
	st := s.store(t)
	mustAppend(t, st, stream, control("system", "opened-1", parley.EntryOpened), text("vis_a", "msg_0001", "one"), text("vis_a", "msg_0002", "two"))
	if a := expectOne(t, st, 1, control("agt_a", "claim-01", parley.EntryAssigned)); a.Err != nil || a.Entry.Seq != 4 {
		t.Errorf("answer %+v, want seq 4", a)
	}
}

func (s suite) expectDuplicateFirst(t *testing.T) {
	st := s.store(t)
	stored := mustAppend(t, st, stream, text("vis_a", "msg_0001", "one"), control("agt_a", "claim-01", parley.EntryAssigned))
	equal(t, "duplicate", expectOne(t, st, 0, text("vis_a", "msg_0001", "one")), parley.Appended{Entry: stored[0], Duplicate: true})
	checkConflict(t, expectOne(t, st, 0, text("vis_a", "msg_0001", "changed")))
	equal(t, "stored", mustRead(t, st, stream), stored)
}

// expectOwnControl makes the same call twice, and a third time with a message
// more: a caller that did not learn the outcome must be able to go on.
func (s suite) expectOwnControl(t *testing.T) {
	st := s.store(t)
	call := []parley.Entry{
		control("system", "opened-1", parley.EntryOpened), text("vis_a", "msg_0001", "one"),
		control("system", "assign-1", parley.EntryAssigned), text("vis_a", "msg_0002", "two"),
	}
	first, err := st.Append(testContext(t), stream, call, 0)
	if err != nil {
		t.Fatal(err)
	}
	again, err := st.Append(testContext(t), stream, append(call, text("vis_a", "msg_0003", "three")), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range first {
		if first[i].Err != nil || first[i].Entry.Seq != int64(i+1) {
			t.Errorf("first answer %d: %+v", i, first[i])
		}
		equal(t, "second answer", again[i], parley.Appended{Entry: first[i].Entry, Duplicate: true})
	}
	if again[4].Err != nil || again[4].Entry.Seq != 5 {
		t.Errorf("added message: %+v, want seq 5", again[4])
	}
}

func (s suite) expectOthersBehindOwn(t *testing.T) {
	st := s.store(t)
	opened := control("system", "opened-1", parley.EntryOpened)
	closed := control("agt_a", "close-01", parley.EntryClosed)
	for name, stored := range map[string][]parley.Entry{
		"theirs is newer": {opened, closed},
		"theirs is older": {closed, opened},
	} {
		s := parley.MessagesOf("ste_a", "cnv_"+name[10:])
		mustAppend(t, st, s, stored...)
		answers, err := st.Append(testContext(t), s, []parley.Entry{opened, text("vis_a", "msg_0001", "one")}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !answers[0].Duplicate || !errors.Is(answers[1].Err, parley.ErrStale) {
			t.Errorf("%s: %+v, want a duplicate and %v", name, answers, parley.ErrStale)
		}
	}
}

func (s suite) expectOneWinner(t *testing.T) {
	st := s.store(t)
	mustAppend(t, st, stream, control("system", "opened-1", parley.EntryOpened))
	ctx := testContext(t)
	for round := range 20 {
		expect := mustHead(t, st, stream).Seq
		var winners atomic.Int64
		var wg sync.WaitGroup
		for n := range 64 {
			wg.Go(func() {
				e := control(fmt.Sprintf("agt_%d", n), fmt.Sprintf("claim-%d", round), parley.EntryAssigned)
				answers, err := st.Append(ctx, stream, []parley.Entry{e}, expect)
				switch {
				case err != nil:
					t.Errorf("append: %v", err)
				case answers[0].Err == nil:
					winners.Add(1)
				case !errors.Is(answers[0].Err, parley.ErrStale):
					t.Errorf("loser got %v, want %v", answers[0].Err, parley.ErrStale)
				}
			})
		}
		wg.Wait()
		if winners.Load() != 1 {
			t.Fatalf("%d winners", winners.Load())
		}
	}
	equal(t, "head", mustHead(t, st, stream).Seq, int64(21))
}
