package bridge_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
)

func ids(list []parley.Conversation) (all []string) {
	for _, c := range list {
		all = append(all, c.ID)
	}
	return all
}

func (w *world) expectList(who parley.Identity, l parley.ConversationList, want ...string) {
	w.Helper()
	list, err := w.bridge.Conversations(w.Context(), who, l)
	if err != nil {
		w.Fatal(err)
	}
	if fmt.Sprint(ids(list)) != fmt.Sprint(want) {
		w.Fatalf("%s lists %v, want %v", who.User, ids(list), want)
	}
}

func TestListShowsWhatItsReaderHasJustWritten(t *testing.T) {
	w := newWorld(t)
	for n := range 50 {
		id := fmt.Sprintf("c%02d", n)
		w.say(ann, id, draft(1))
		list, err := w.bridge.Conversations(t.Context(), ann, parley.ConversationList{Limit: 100})
		if err != nil || len(list) != n+1 || list[0].ID != id && list[0].UpdatedAt != list[1].UpdatedAt {
			t.Fatalf("after %d conversations the list is %v, %v", n+1, ids(list), err)
		}
	}
}

func TestListsKeepReadersApart(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.say(bob, "c2", draft(1))
	w.claim(lilei, "c1")
	any, mine := parley.ConversationList{}, parley.ConversationList{Mine: true}
	w.expectList(ann, any, "c1")
	w.expectList(bob, any, "c2")
	w.expectList(hanmm, any, "c2")
	w.expectList(hanmm, mine)
	w.expectList(lilei, mine, "c1")
	w.expectList(lilei, parley.ConversationList{Status: parley.StatusQueued}, "c2")
	w.expectList(boss, parley.ConversationList{Status: parley.StatusOpen}, "c1")
	w.expectList(boss, mine)
	foreign := boss
	foreign.Site = "t"
	w.expectList(foreign, any)
}

// Lists show what Identity.MayIn lets their reader read, no more and no less.
func TestListsAndRightsAgree(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"queued", "open", "closed"} {
		for _, who := range []parley.Identity{ann, bob} {
			w.say(who, id+"_of_"+who.User, draft(1))
		}
	}
	for _, id := range []string{"open_of_vis_ann", "closed_of_vis_ann", "closed_of_vis_bob"} {
		w.claim(lilei, id)
	}
	w.claim(hanmm, "open_of_vis_bob")
	for _, id := range []string{"closed_of_vis_ann", "closed_of_vis_bob"} {
		if _, err := w.bridge.Finish(t.Context(), lilei, id); err != nil {
			t.Fatal(err)
		}
	}
	root := parley.Identity{Site: site, User: "agt_root", Device: "dev_pc", Role: parley.RoleOwner}
	all, err := w.bridge.Conversations(t.Context(), root, parley.ConversationList{})
	if err != nil || len(all) != 6 {
		t.Fatalf("the owner sees %v, %v", ids(all), err)
	}
	for _, user := range []string{ann.User, bob.User, lilei.User, hanmm.User, "somebody"} {
		for _, role := range []parley.Role{
			parley.RoleVisitor, parley.RoleBot, parley.RoleAgent, parley.RoleSupervisor, parley.RoleAdmin, parley.RoleOwner, parley.RoleSystem, "unknown",
		} {
			who := parley.Identity{Site: site, User: user, Device: "dev_pc", Role: role}
			var may, takesPart []string
			for _, c := range all {
				if who.MayIn(parley.ActionRead, c) == nil {
					may = append(may, c.ID)
				}
				if who.TakesPart(c) {
					takesPart = append(takesPart, c.ID)
				}
			}
			w.expectSame(who, "list", may, func() ([]parley.Conversation, error) {
				return w.bridge.Conversations(t.Context(), who, parley.ConversationList{})
			})
			w.expectSame(who, "own list", takesPart, func() ([]parley.Conversation, error) {
				return w.bridge.Conversations(t.Context(), who, parley.ConversationList{Mine: true})
			})
			w.expectSame(who, "membership", takesPart, func() ([]parley.Conversation, error) { return w.bridge.TakingPart(t.Context(), who, 0) })
		}
	}
}

func (w *world) expectSame(who parley.Identity, what string, want []string, list func() ([]parley.Conversation, error)) {
	w.Helper()
	got, err := list()
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(ids(got)))); diff != "" || err != nil {
		w.Errorf("%s of %s as %s: %v (-may +sees):\n%s", what, who.User, who.Role, err, diff)
	}
}

// The projection is behind the acknowledgement. A process that dies before it
// is written projects the log at its next start.
func TestProjectionHealsAfterACrash(t *testing.T) {
	w := newWorld(t)
	for n := range 20 {
		w.say(ann, fmt.Sprintf("c%02d", n), draft(1), draft(2))
	}
	w.claim(lilei, "c07")
	w.closeStore()       // the store goes first: what the bridge still holds is lost
	_ = w.bridge.Close() // ends its goroutines; its last save fails
	w.open()
	list, err := w.bridge.Conversations(t.Context(), ann, parley.ConversationList{Limit: 100})
	if err != nil || len(list) != 20 {
		t.Fatalf("%d conversations after the restart, %v", len(list), err)
	}
	for _, c := range list {
		want := int64(3)
		if c.ID == "c07" {
			want = 4
		}
		if c.Head != want || c.Count != 2 || c.LastText != "text 2" {
			t.Errorf("%s is %+v", c.ID, c)
		}
	}
	w.expectList(lilei, parley.ConversationList{Mine: true}, "c07")
	w.say(lilei, "c07", draft(9))
}

// What a mark has told about a conversation must not hide from the restart that the
// conversation, with its notes, has changed hands meanwhile.
func TestHandOverBehindAMarkHealsAfterACrash(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	w.jot(lilei, "c1", draft(2))
	w.close()
	w.open()
	for seq := range int64(2) {
		w.mark(lilei, "c1", 2+seq, 1+seq)
	}
	w.claim(boss, "c1")
	w.closeStore() // as above
	_ = w.bridge.Close()
	w.open()
	w.expectNotes(boss, 0, parley.StreamHead{Stream: parley.NotesOf(boss.Site, "c1"), Seq: 1})
	w.expectNotes(lilei, 0)
	if m := w.conversation(boss, "c1").Marks.Of(lilei.User); m.Delivered != 3 || m.Read != 2 || m.Count != 1 {
		t.Errorf("the mark is %+v", m)
	}
}

func TestEntriesFromMemoryAndStoreAreTheSame(t *testing.T) {
	w := newWorld(t)
	const n = 400 // more than the tail cache holds
	stream := parley.MessagesOf(site, "c1")
	read := func(after int64) []parley.Delivery {
		t.Helper()
		got, err := w.bridge.Deliveries(t.Context(), stream, after, 7)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for i := 0; i < n; i += 20 {
		read(int64(i)) // a stream that is read is kept in memory
		var drafts []parley.Draft
		for k := range 20 {
			drafts = append(drafts, draft(i+k))
		}
		w.say(ann, "c1", drafts...)
		w.followed(stream, int64(i+21))
	}
	stored := w.log("c1")
	for after := range int64(n + 3) {
		got := read(after)
		want := stored[min(after, n+1):min(after+7, n+1)]
		if len(got) != len(want) {
			t.Fatalf("after %d: %d entries, want %d", after, len(got), len(want))
		}
		for i := range got {
			if got[i].Seq != want[i].Seq || string(got[i].Payload) != string(want[i].AppendJSON(nil, w.bridge.Epoch())) {
				t.Fatalf("after %d: entry %d differs", after, i)
			}
		}
	}
	if s := w.bridge.Stats(); s.TailReads == 0 || s.StoreReads == 0 {
		t.Errorf("both ways should have been used: %+v", s)
	}
}

// A stream that nobody reads takes no memory, however much is written to it.
func TestNothingIsKeptOfWhatNobodyReads(t *testing.T) {
	w := newWorld(t)
	stream := parley.MessagesOf(site, "c1")
	reads := func(after int64) (memory, store int64) {
		t.Helper()
		before := w.bridge.Stats()
		if _, err := w.bridge.Deliveries(t.Context(), stream, after, 1); err != nil {
			t.Fatal(err)
		}
		now := w.bridge.Stats()
		return now.TailReads - before.TailReads, now.StoreReads - before.StoreReads
	}
	w.say(ann, "c1", draft(1))
	w.followed(stream, 2)
	if _, store := reads(1); store != 1 {
		t.Error("a stream that nobody had read was in memory")
	}
	w.say(ann, "c1", draft(2))
	w.followed(stream, 3)
	if memory, _ := reads(2); memory != 1 {
		t.Error("a stream that is read was not in memory")
	}
	for i := range 130 { // more than a tail, without a reader
		w.say(ann, "c1", draft(3+i))
	}
	w.followed(stream, 133)
	if _, store := reads(132); store != 1 {
		t.Error("a stream that is no longer read was in memory")
	}
}

// followed waits until a stream has been followed up to seq.
func (w *world) followed(stream parley.Stream, seq int64) {
	w.Helper()
	w.eventually(func() string {
		if h := w.seen.head(stream); h < seq {
			return fmt.Sprintf("followed to %d", h)
		}
		return ""
	})
}
