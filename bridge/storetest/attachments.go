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

func (s suite) testAttachments(t *testing.T) {
	t.Run("change by version", s.attachmentVersions)
	t.Run("have one winner of a race", s.attachmentRace)
	t.Run("are found by what is asked for", s.attachmentQueries)
}

func attachment(id string) parley.Attachment {
	return parley.Attachment{
		Site: "ste_a", ID: id, Conversation: "cnv_a", Uploader: "vis_a", State: parley.AttachmentTaking, Version: 1,
		At: 1000, ChangedAt: 1000, Name: "<茶> & 'tea'.png", Size: 1 << 40, Sum: "ab",
		Parts: []parley.AttachmentPart{{Name: "p1", Size: 7}, {Name: "p2", Size: 9}},
	}
}

func (s suite) attachmentVersions(t *testing.T) {
	dir := t.TempDir()
	st := s.open(t, dir)
	ctx := testContext(t)
	first := attachment("att_1")
	must(t, st.SaveAttachment(ctx, first))
	must(t, st.SaveAttachment(ctx, first)) // the answer was lost
	other := first
	other.Name = "another"
	mustBeStale(t, st.SaveAttachment(ctx, other))
	second := first
	second.Version, second.State, second.ChangedAt = 2, parley.AttachmentReady, 2000
	second.Type, second.Parts, second.Width, second.Height, second.Thumbnail = "image/png", nil, 3, 4, true
	must(t, st.SaveAttachment(ctx, second))
	must(t, st.SaveAttachment(ctx, second))
	mustBeStale(t, st.SaveAttachment(ctx, first))
	skips := second
	skips.Version = 4
	mustBeStale(t, st.SaveAttachment(ctx, skips))
	missing := attachment("att_2")
	missing.Version = 2
	mustBeStale(t, st.SaveAttachment(ctx, missing))
	closeStore(t, st)

	st = s.open(t, dir)
	defer closeStore(t, st)
	got, err := st.Attachment(ctx, "ste_a", "att_1")
	must(t, err)
	equal(t, "attachment", got, second)
	for _, place := range [][2]string{{"ste_b", "att_1"}, {"ste_a", "att_2"}} {
		got, err := st.Attachment(ctx, place[0], place[1])
		must(t, err)
		equal(t, "no attachment", got, parley.Attachment{})
	}
	must(t, st.DeleteAttachment(ctx, "ste_b", "att_1"))
	must(t, st.DeleteAttachment(ctx, "ste_a", "att_1"))
	must(t, st.DeleteAttachment(ctx, "ste_a", "att_1"))
	got, err = st.Attachment(ctx, "ste_a", "att_1")
	must(t, err)
	equal(t, "deleted", got, parley.Attachment{})
	for what, err := range map[string]error{
		"read without a site":   errorOf(st.Attachment(ctx, "", "att_1")),
		"save without a site":   st.SaveAttachment(ctx, parley.Attachment{ID: "att_1", Version: 1}),
		"delete without a site": st.DeleteAttachment(ctx, "", "att_1"),
	} {
		if err == nil {
			t.Error(what)
		}
	}
}

func errorOf[T any](_ T, err error) error { return err }

func mustBeStale(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, parley.ErrStale) {
		t.Errorf("error %v, want %v", err, parley.ErrStale)
	}
}

func (s suite) attachmentRace(t *testing.T) {
	st := s.store(t)
	ctx := testContext(t)
	must(t, st.SaveAttachment(ctx, attachment("att_1")))
	for version := int64(2); version < 6; version++ {
		var winners atomic.Int64
		var wg sync.WaitGroup
		for n := range 16 {
			wg.Go(func() {
				a := attachment("att_1")
				a.Version, a.State, a.Message = version, parley.AttachmentClaimed, fmt.Sprintf("msg_%d", n)
				switch err := st.SaveAttachment(ctx, a); {
				case err == nil:
					winners.Add(1)
				case !errors.Is(err, parley.ErrStale):
					t.Errorf("loser got %v", err)
				}
			})
		}
		wg.Wait()
		if winners.Load() != 1 {
			t.Fatalf("%d winners", winners.Load())
		}
	}
}

func (s suite) attachmentQueries(t *testing.T) {
	st := s.store(t)
	ctx := testContext(t)
	put := func(id string, change func(*parley.Attachment)) {
		a := attachment(id)
		change(&a)
		must(t, st.SaveAttachment(ctx, a))
	}
	put("att_1", func(a *parley.Attachment) { a.Uploader = "vis_b" })
	put("att_2", func(a *parley.Attachment) { a.State, a.ChangedAt = parley.AttachmentReady, 2000 })
	put("att_3", func(a *parley.Attachment) {
		a.State, a.Conversation, a.ChangedAt = parley.AttachmentSent, "cnv_b", 3000
	})
	put("att_4", func(a *parley.Attachment) { a.State = parley.AttachmentGoing })
	put("att_0", func(a *parley.Attachment) { a.Site = "ste_b" })
	const taking, ready, sent, going = parley.AttachmentTaking, parley.AttachmentReady, parley.AttachmentSent, parley.AttachmentGoing
	states := func(list ...parley.AttachmentState) []parley.AttachmentState { return list }
	for what, tc := range map[string]struct {
		q    bridge.AttachmentQuery
		want []string
	}{
		"a state":          {bridge.AttachmentQuery{States: states(taking)}, []string{"att_1", "att_0"}},
		"of a site":        {bridge.AttachmentQuery{States: states(taking, ready, sent, going), Site: "ste_a"}, []string{"att_1", "att_2", "att_3", "att_4"}},
		"of a user":        {bridge.AttachmentQuery{States: states(taking, ready), Site: "ste_a", Uploader: "vis_a"}, []string{"att_2"}},
		"of conversations": {bridge.AttachmentQuery{States: states(sent, ready), Site: "ste_a", Conversation: "cnv_b"}, []string{"att_3"}},
		"old ones":         {bridge.AttachmentQuery{States: states(taking, ready, sent), ChangedTo: 2000}, []string{"att_1", "att_2", "att_0"}},
		"a page":           {bridge.AttachmentQuery{States: states(taking, ready, sent, going), AfterSite: "ste_a", AfterID: "att_2", Limit: 2}, []string{"att_3", "att_4"}},
		"the next page":    {bridge.AttachmentQuery{States: states(taking, ready, sent, going), AfterSite: "ste_a", AfterID: "att_4", Limit: 2}, []string{"att_0"}},
	} {
		found, err := st.Attachments(ctx, tc.q)
		must(t, err)
		var ids []string
		for _, a := range found {
			ids = append(ids, a.ID)
		}
		equal(t, what, ids, tc.want)
	}
	for _, q := range []bridge.AttachmentQuery{{}, {Site: "ste_a"}, {States: states(taking), Uploader: "vis_a"}, {States: states(taking), Conversation: "cnv_a"}} {
		if _, err := st.Attachments(ctx, q); err == nil {
			t.Errorf("%+v found something", q)
		}
	}
}
