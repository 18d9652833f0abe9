package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

func (s suite) testConversations(t *testing.T) {
	t.Run("are saved with their position", s.conversationSave)
	t.Run("are listed and paged", s.conversationList)
	t.Run("are never listed without a site", s.conversationNoSite)
}

func (s suite) conversationSave(t *testing.T) {
	st := s.store(t)
	ctx := testContext(t)
	if position, err := st.ProjectedTo(ctx); position != 0 || err != nil {
		t.Errorf("new store is projected to %d, %v", position, err)
	}
	c := parley.Conversation{
		Site: "ste_a", ID: "cnv_a", Status: parley.StatusOpen, Visitor: "vis_a", Assignee: "agt_a",
		VisitorName: "王小明", AssigneeName: "Ann", Head: 7, Control: 3, Count: 5, OpenedAt: 100, UpdatedAt: 200, ChangedAt: 250, LastText: "再见 👋",
		Marks: parley.Marks{{User: "agt_a", Delivered: 7, Read: 6, Count: 4}, {User: "vis_a", Delivered: 5, Read: 5, Count: 3}}, AgentRead: 6,
	}
	save := func(c parley.Conversation, position int64) {
		t.Helper()
		if err := st.SaveConversations(ctx, []parley.Conversation{c}, position); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what, site, id string, want parley.Conversation) {
		t.Helper()
		got, err := st.Conversation(ctx, site, id)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, what, got, want)
	}
	check("before", "ste_a", "cnv_a", parley.Conversation{})
	save(c, 200)
	check("saved", "ste_a", "cnv_a", c)
	check("other site", "ste_b", "cnv_a", parley.Conversation{})

	older := c
	older.Head, older.Status = 6, parley.StatusQueued
	save(older, 210)
	check("after an older row", "ste_a", "cnv_a", c)
	newer := c
	newer.Head, newer.Status, newer.UpdatedAt = 8, parley.StatusClosed, 300
	save(newer, 220)
	check("after a newer row", "ste_a", "cnv_a", newer)
	newer.LastText, newer.ChangedAt, newer.Marks = "rebuilt", 400, newer.Marks.With(parley.Mark{User: "boss", Read: 7, Count: 5})
	save(newer, 220)
	check("after a row of the same head", "ste_a", "cnv_a", newer)
	if position, err := st.ProjectedTo(ctx); position != 220 || err != nil {
		t.Errorf("projected to %d, %v; want 220", position, err)
	}
}

// conversationList compares with a filter in Go over all rows, page by page.
func (s suite) conversationList(t *testing.T) {
	st := s.store(t)
	rows := listedRows()
	if err := st.SaveConversations(testContext(t), rows, 1); err != nil {
		t.Fatal(err)
	}
	for _, q := range []bridge.ConversationQuery{
		{Site: "ste_a"},
		{Site: "ste_b"},
		{Site: "ste_none"},
		{Site: "ste_a", Visitor: "vis_1"},
		{Site: "ste_a", Assignee: "agt_1"},
		{Site: "ste_a", Status: parley.StatusClosed},
		{Site: "ste_a", AssigneeOrQueued: "agt_1"},
		{Site: "ste_a", AssigneeOrQueued: "agt_none"},
		{Site: "ste_a", AssigneeOrQueued: "agt_1", Status: parley.StatusOpen},
		{Site: "ste_a", Visitor: "vis_2", Assignee: "agt_0", Status: parley.StatusOpen},
		{Site: "ste_a", AssigneeOrQueued: "agt_2", Visitor: "vis_3"},
		{Site: "ste_a", ChangedFrom: 2010},
		{Site: "ste_a", Visitor: "vis_1", ChangedFrom: 2005},
		{Site: "ste_a", Assignee: "agt_1", ChangedFrom: 2005},
		{Site: "ste_a", Status: parley.StatusQueued, ChangedFrom: 2017},
		{Site: "ste_a", ChangedFrom: 9999},
		{Site: "ste_a", OpenedTo: 510},
		{Site: "ste_a", Status: parley.StatusOpen, ChangedFrom: 2010, OpenedTo: 515},
	} {
		want := selectRows(rows, q)
		for _, limit := range []int{0, 1, 4, 1000}[s.shorter/5:] {
			q.Limit = limit
			equal(t, fmt.Sprintf("%+v", q), pageThrough(t, st, q), want)
		}
	}
}

func listedRows() []parley.Conversation {
	var rows []parley.Conversation
	statuses := []parley.Status{parley.StatusQueued, parley.StatusOpen, parley.StatusClosed}
	for i := range 90 {
		c := parley.Conversation{
			Site: "ste_a", ID: fmt.Sprintf("cnv_%02d", i*37%90), Visitor: fmt.Sprintf("vis_%d", i%5), Status: statuses[i%3],
			Head: 1, UpdatedAt: int64(1000 + i/4), // four of each time
			ChangedAt: int64(2000 + i*7%20), OpenedAt: int64(500 + i*11%30),
		}
		if i%10 == 9 {
			c.Site = "ste_b"
		}
		if c.Status != parley.StatusQueued {
			c.Assignee = fmt.Sprintf("agt_%d", i%4)
		}
		rows = append(rows, c)
	}
	return rows
}

func selectRows(rows []parley.Conversation, q bridge.ConversationQuery) []parley.Conversation {
	var list []parley.Conversation
	for _, c := range rows {
		if c.Site == q.Site &&
			(q.Visitor == "" || c.Visitor == q.Visitor) &&
			(q.Assignee == "" || c.Assignee == q.Assignee) &&
			(q.Status == "" || c.Status == q.Status) &&
			c.ChangedAt >= q.ChangedFrom &&
			(q.OpenedTo == 0 || c.OpenedAt <= q.OpenedTo) &&
			(q.AssigneeOrQueued == "" || c.Assignee == q.AssigneeOrQueued || c.Status == parley.StatusQueued) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b parley.Conversation) int {
		return cmp.Or(cmp.Compare(b.UpdatedAt, a.UpdatedAt), cmp.Compare(b.ID, a.ID))
	})
	return list
}

func pageThrough(t *testing.T, st bridge.Store, q bridge.ConversationQuery) []parley.Conversation {
	t.Helper()
	var all []parley.Conversation
	for {
		page, err := st.Conversations(testContext(t), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if q.Limit == 0 || len(page) == 0 {
			return all
		}
		if len(page) > q.Limit {
			t.Fatalf("page of %d, limit %d", len(page), q.Limit)
		}
		last := page[len(page)-1]
		q.UpdatedBefore, q.IDBefore = last.UpdatedAt, last.ID
	}
}

func (s suite) conversationNoSite(t *testing.T) {
	st := s.store(t)
	ctx := testContext(t)
	row := parley.Conversation{Site: "ste_a", ID: "cnv_a", Visitor: "vis_a", Status: parley.StatusQueued, Head: 1}
	if err := st.SaveConversations(ctx, []parley.Conversation{row}, 1); err != nil {
		t.Fatal(err)
	}
	if got, err := st.Conversations(ctx, bridge.ConversationQuery{Visitor: "vis_a"}); err == nil {
		t.Errorf("list without a site: %v", got)
	}
	if got, err := st.Conversation(ctx, "", "cnv_a"); err == nil {
		t.Errorf("conversation without a site: %v", got)
	}
	row.Site = ""
	if err := st.SaveConversations(ctx, []parley.Conversation{row}, 1); err == nil {
		t.Error("saving without a site succeeded")
	}
}
