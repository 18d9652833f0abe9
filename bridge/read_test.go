package bridge_test

import (
	"context"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// slowReads lets something happen between the check of a right and the read.
type slowReads struct {
	*sqlite.Store
	before func()
}

func (s *slowReads) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	if fn := s.before; fn != nil {
		s.before = nil
		fn()
	}
	return s.Store.Read(ctx, stream, after, limit)
}

func TestReadStopsWhereTheRightWasChecked(t *testing.T) {
	st, err := sqlite.Open(t.Context(), sqlite.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	store := &slowReads{Store: st}
	b, err := bridge.New(t.Context(), store, bridge.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close(); _ = st.Close() }()
	say := func(who parley.Identity, d parley.Draft) {
		a, err := b.Record(t.Context(), who, "c1", []parley.Draft{d})
		if err != nil || a[0].Err != nil {
			t.Fatal(err, a)
		}
	}
	say(ann, draft(1))
	if _, err := b.Claim(t.Context(), lilei, "c1"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Conversation(t.Context(), lilei, "c1"); err != nil { // warm
		t.Fatal(err)
	}
	store.before = func() {
		if _, err := b.Claim(t.Context(), boss, "c1"); err != nil {
			t.Error(err)
		}
		say(ann, draft(2))
	}
	page, err := b.History(t.Context(), lilei, "c1", parley.HistoryQuery{From: parley.HistoryAfter})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Entries {
		if e.ID == draft(2).ID {
			t.Errorf("seq %d was written after lilei lost the right, and was read", e.Seq)
		}
	}
}
