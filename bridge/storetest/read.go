package storetest

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/parley-chat/parley"
)

func (s suite) testRead(t *testing.T) {
	t.Run("pages oldest first", s.readPages)
	t.Run("finds entries by time", s.readSince)
	t.Run("fails on an ended context", s.readCancelled)
}

func (s suite) readPages(t *testing.T) {
	st := s.store(t)
	for i := range 10 {
		mustAppend(t, st, stream, text("vis_a", fmt.Sprintf("msg_%04d", i), "hello"))
		mustAppend(t, st, streamN(1), text("vis_a", fmt.Sprintf("msg_%04d", i), "elsewhere"))
	}
	for _, c := range []struct {
		after int64
		limit int
		want  []int64
	}{
		{0, 3, []int64{1, 2, 3}},
		{0, 1, []int64{1}},
		{0, 100, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{7, 2, []int64{8, 9}},
		{9, 1, []int64{10}},
		{9, 5, []int64{10}},
		{10, 5, nil},
		{11, 5, nil},
		{0, 0, nil},
	} {
		got, err := st.Read(testContext(t), stream, c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("read after %d, limit %d", c.after, c.limit), seqs(got), c.want)
	}
	for _, c := range []struct {
		before int64
		limit  int
		want   []int64
	}{
		{11, 3, []int64{8, 9, 10}},
		{11, 1, []int64{10}},
		{100, 2, []int64{9, 10}},
		{10, 2, []int64{8, 9}},
		{3, 100, []int64{1, 2}},
		{2, 1, []int64{1}},
		{1, 5, nil},
		{0, 5, nil},
		{5, 0, nil},
	} {
		got, err := st.ReadBefore(testContext(t), stream, c.before, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("read before %d, limit %d", c.before, c.limit), seqs(got), c.want)
	}
	equal(t, "stream that does not exist", mustRead(t, st, streamN(2)), []parley.Entry(nil))
	if _, err := st.Read(testContext(t), "", 0, 1); err == nil {
		t.Error("reading without a stream succeeded")
	}
}

func (s suite) readSince(t *testing.T) {
	st := s.store(t)
	want := map[parley.Stream]int{}
	var from int64
	for i := range 60 {
		name := streamN(i % 7)
		stored := mustAppend(t, st, name, text("vis_a", fmt.Sprintf("msg_%04d", i), "a"), text("vis_b", fmt.Sprintf("msg_%04d", i), "b"))
		if i == 0 {
			from = stored[0].At
		}
		want[name] += 2
	}
	for _, limit := range []int{1, 7, 50, 1000} {
		got := map[parley.Stream]int{}
		var last *parley.Entry
		for {
			page, err := st.EntriesSince(testContext(t), from, last, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			if len(page) > limit {
				t.Fatalf("page of %d, limit %d", len(page), limit)
			}
			for i := range page {
				e := &page[i]
				if got[e.Stream]++; e.Seq != int64(got[e.Stream]) || last != nil && e.At < last.At {
					t.Fatalf("limit %d: %s %d at %d does not follow", limit, e.Stream, e.Seq, e.At)
				}
				last = e
			}
		}
		equal(t, fmt.Sprintf("entries with limit %d", limit), got, want)
		later, err := st.EntriesSince(testContext(t), last.At+1, nil, limit)
		if err != nil || len(later) != 0 {
			t.Errorf("behind the last: %v, %v", later, err)
		}
	}
}

func (s suite) readCancelled(t *testing.T) {
	st := s.store(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := st.Read(ctx, stream, 0, 1); err == nil {
		t.Error("read with an ended context succeeded")
	}
}

func (s suite) testReopen(t *testing.T) {
	dir := t.TempDir()
	st := s.open(t, dir)
	epoch := st.Epoch()
	if epoch == "" {
		t.Error("no epoch")
	}
	secret, err := st.Secret(testContext(t), "token", 32)
	if err != nil || len(secret) != 32 {
		t.Fatalf("secret of %d bytes, %v", len(secret), err)
	}
	other, err := st.Secret(testContext(t), "digest", 32)
	if err != nil || bytes.Equal(other, secret) {
		t.Errorf("two names, one secret; %v", err)
	}
	stored := mustAppend(t, st, stream, control("system", "opened-1", parley.EntryOpened), text("vis_a", "msg_0001", "one"))
	closeStore(t, st)

	st = s.open(t, dir)
	defer closeStore(t, st)
	equal(t, "epoch", st.Epoch(), epoch)
	again, err := st.Secret(testContext(t), "token", 16)
	if err != nil || !bytes.Equal(again, secret) {
		t.Errorf("the secret changed; %v", err)
	}
	equal(t, "stored", mustRead(t, st, stream), stored)
	equal(t, "head", mustHead(t, st, stream), parley.Head{Epoch: epoch, Seq: 2, Control: 1, Count: 1})
	next := mustAppend(t, st, stream, text("vis_a", "msg_0002", "two"))
	equal(t, "next", []int64{next[0].Seq, next[0].Count}, []int64{3, 2})
	if other := s.store(t); other.Epoch() == epoch {
		t.Error("two stores have one epoch")
	}
}
