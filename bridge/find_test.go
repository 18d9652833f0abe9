package bridge_test

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/search"
)

func text(id, s string) parley.Draft { return parley.NewText("msg_"+id, s) }

// search returns a page, and each hit as "conversation/in seq".
func (w *world) search(who parley.Identity, r parley.SearchRequest) (parley.SearchPage, []string) {
	w.Helper()
	page, err := w.bridge.Search(w.Context(), who, r)
	if err != nil {
		w.Fatalf("%s searches %+v: %v", who.User, r, err)
	}
	hits := []string{}
	for _, h := range page.Hits {
		hits = append(hits, fmt.Sprintf("%s/%s %d", h.Conversation, h.In, h.Seq))
	}
	return page, hits
}

// finds expects hits in this order.
func (w *world) finds(who parley.Identity, r parley.SearchRequest, want ...string) {
	w.Helper()
	page, hits := w.search(who, r)
	if diff := cmp.Diff(append([]string{}, want...), hits); diff != "" || page.Partial || page.Indexing || page.Next != "" {
		w.Errorf("%s searches %+v: partial %v, indexing %v, next %q (-want +got):\n%s", who.User, r, page.Partial, page.Indexing, page.Next, diff)
	}
}

func looking(text string) parley.SearchRequest { return parley.SearchRequest{Text: text} }

func TestSearchFindsWhatItsReaderHasJustWritten(t *testing.T) {
	w := newWorld(t)
	for n := range 30 {
		seq := w.say(ann, "c1", text(fmt.Sprintf("%05d", n), fmt.Sprintf("退款 number %d", n)))[0].Entry.Seq
		w.finds(ann, looking(fmt.Sprintf("退款 %d", n)), fmt.Sprintf("c1/messages %d", seq))
	}
}

func TestSearchKeepsReadersApart(t *testing.T) {
	var reads atomic.Int64 // each is a millisecond later: what is of the same one has no order to expect here
	w := &world{T: t, dir: t.TempDir(), options: bridge.Options{NewConversations: 10_000, SearchTime: time.Minute}}
	w.now = func() time.Time { return time.Now().Add(time.Duration(reads.Add(1)) * time.Millisecond) }
	w.open()
	t.Cleanup(w.close)
	foreign := boss
	foreign.Site = "t"
	foreignAnn := ann
	foreignAnn.Site = "t"
	bot := boss
	bot.Role = parley.RoleBot
	w.say(ann, "c1", text("00001", "parcel of Ann"))      // 2; assigned to Li Lei
	w.say(bob, "c2", text("00001", "parcel of Bob"))      // 2; queued
	w.say(ann, "c3", text("00001", "another parcel"))     // 2; was Han Meimei's, closed
	w.say(foreignAnn, "c1", text("00001", "parcel of t")) // 2; of another site
	w.claim(lilei, "c1")
	w.claim(hanmm, "c3")
	w.jot(lilei, "c1", text("00001", "a note about the parcel"))
	w.jot(hanmm, "c3", text("00001", "parcel is lost"))
	if _, err := w.bridge.Finish(t.Context(), hanmm, "c3"); err != nil {
		t.Fatal(err)
	}
	c1, c2, c3, n1, n3 := "c1/messages 2", "c2/messages 2", "c3/messages 2", "c1/notes 1", "c3/notes 1"
	any := looking("parcel")
	notes, messages := any, any
	notes.In, messages.In = parley.TopicNotes, parley.TopicMessages
	for _, c := range []struct {
		who  parley.Identity
		r    parley.SearchRequest
		want []string
	}{
		{ann, any, []string{c3, c1}},
		{ann, messages, []string{c3, c1}},
		{bob, any, []string{c2}},
		{foreignAnn, any, []string{c1}}, // the id is the same
		{lilei, any, []string{n1, c2, c1}},
		{lilei, messages, []string{c2, c1}},
		{lilei, notes, []string{n1}},
		{hanmm, any, []string{n3, c3, c2}},
		{hanmm, notes, []string{n3}},
		{boss, any, []string{n3, n1, c3, c2, c1}},
		{boss, messages, []string{c3, c2, c1}},
		{boss, notes, []string{n3, n1}},
		{foreign, any, []string{c1}},
		{foreign, notes, nil},
		{bot, any, nil},
		{parley.Identity{Site: site, User: "vis_x", Role: parley.RoleVisitor}, any, nil},
	} {
		w.finds(c.who, c.r, c.want...)
		for _, id := range []string{"c1", "c2", "c3"} { // what is asked for is never wider than the right
			one := c.r
			one.Conversation = id
			var want []string
			for _, hit := range c.want {
				if strings.HasPrefix(hit, id+"/") {
					want = append(want, hit)
				}
			}
			w.finds(c.who, one, want...)
		}
	}
	_, err := w.bridge.Search(t.Context(), ann, notes)
	expectCode(t, err, parley.CodeForbidden)
	page, _ := w.search(foreignAnn, any)
	if page.Hits[0].Snippet[0].Text+page.Hits[0].Snippet[1].Text != "parcel of t" {
		t.Errorf("another site's hit is %+v", page.Hits[0])
	}
	w.finds(ann, parley.SearchRequest{Text: "parcel", Visitor: bob.User})

	w.claim(hanmm, "c2") // and rights go with the conversation
	w.finds(lilei, any, n1, c1)
	w.claim(boss, "c1")
	w.finds(lilei, any)
	w.finds(hanmm, any, n3, c3, c2)
	w.say(ann, "c3", text("00002", "still here")) // queued again
	w.finds(lilei, any, n3, c3)
}

func TestSearchFilters(t *testing.T) {
	w := newWorld(t)
	first := w.say(ann, "c1", text("00001", "hello from Ann"))[0].Entry
	w.claim(lilei, "c1")
	w.later.Add(int64(time.Hour))
	second := w.say(lilei, "c1", text("00002", "hello from Li Lei"))[0].Entry
	w.later.Add(int64(time.Hour))
	third := w.say(bob, "c2", text("00001", "hello from Bob"))[0].Entry
	h1, h2, h3 := "c1/messages 2", "c1/messages 4", "c2/messages 2"
	for name, c := range map[string]struct {
		r    parley.SearchRequest
		want []string
	}{
		"conversation":       {parley.SearchRequest{Conversation: "c1"}, []string{h2, h1}},
		"unknown one":        {parley.SearchRequest{Conversation: "c9"}, nil},
		"visitor":            {parley.SearchRequest{Visitor: ann.User}, []string{h2, h1}},
		"sender":             {parley.SearchRequest{Sender: ann.User}, []string{h1}},
		"agent":              {parley.SearchRequest{Agent: lilei.User}, []string{h2, h1}},
		"other agent":        {parley.SearchRequest{Agent: hanmm.User}, nil},
		"type":               {parley.SearchRequest{Type: parley.EntryText}, []string{h3, h2, h1}},
		"other type":         {parley.SearchRequest{Type: "image"}, nil},
		"from":               {parley.SearchRequest{From: second.At}, []string{h3, h2}},
		"to":                 {parley.SearchRequest{To: second.At}, []string{h2, h1}},
		"to the end":         {parley.SearchRequest{To: math.MaxInt64}, []string{h3, h2, h1}},
		"from the end":       {parley.SearchRequest{From: math.MaxInt64}, nil},
		"from and to":        {parley.SearchRequest{From: first.At + 1, To: third.At - 1}, []string{h2}},
		"none at that time":  {parley.SearchRequest{From: third.At + 1}, nil},
		"visitor and sender": {parley.SearchRequest{Visitor: ann.User, Sender: lilei.User}, []string{h2}},
	} {
		t.Run(name, func(t *testing.T) {
			c.r.Text = "hello"
			(&world{T: t, bridge: w.bridge}).finds(boss, c.r, c.want...)
		})
	}
}

func TestSearchShowsTheTextOfNow(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", text("00001", "my order <b>4711</b> is late"), text("00002", "thank you"))
	page, _ := w.search(ann, looking("ORDER 4711"))
	want := parley.SearchHit{
		Conversation: "c1", Visitor: parley.Person{ID: ann.User, Name: "Ann"}, In: parley.TopicMessages, Seq: 2,
		Sender: ann.User, Role: parley.RoleVisitor, Type: parley.EntryText,
		Snippet: []parley.SnippetPiece{{Text: "my "}, {Text: "order", Hit: true}, {Text: " <b>"}, {Text: "4711", Hit: true}, {Text: "</b> is late"}},
	}
	if len(page.Hits) != 1 {
		t.Fatalf("%d hits", len(page.Hits))
	}
	want.At = page.Hits[0].At
	if diff := cmp.Diff(want, page.Hits[0]); diff != "" || want.At == 0 {
		t.Error(diff)
	}
	w.say(ann, "c1", edit(1, 2, "my order 4712 is late"))
	w.finds(ann, looking("order 4711"))
	w.finds(ann, looking("order 4712"), "c1/messages 2")
	if page, _ = w.search(ann, looking("late")); !page.Hits[0].Edited || page.Hits[0].At != want.At {
		t.Errorf("the edited message is %+v", page.Hits[0])
	}
	w.say(ann, "c1", edit(2, 2, "?"))
	w.finds(ann, looking("order"))
	w.say(ann, "c1", edit(3, 2, "order again"))
	w.finds(ann, looking("order"), "c1/messages 2")
	w.say(ann, "c1", deletion(1, 2))
	w.finds(ann, looking("order"))
	w.finds(ann, looking("thank"), "c1/messages 3")

	w.claim(lilei, "c1")
	w.jot(lilei, "c1", text("00001", "a note"), edit(1, 1, "a better note"))
	w.finds(lilei, looking("better"), "c1/notes 1")
	w.jot(lilei, "c1", deletion(1, 1))
	w.finds(lilei, looking("note"))
}

// What is deleted between two pages, or said, makes no page repeat or miss
// anything else.
func TestSearchPagesWhileOthersWrite(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(5, 6))
	want := map[string]bool{}
	for n := range 120 {
		id := fmt.Sprintf("c%d", r.IntN(6))
		a := w.say(ann, id, text(fmt.Sprintf("%05d", n), fmt.Sprintf("word %d", n)))
		want[fmt.Sprintf("%s/messages %d", id, a[0].Entry.Seq)] = true
	}
	ask, got := parley.SearchRequest{Text: "word", Limit: 7}, map[string]bool{}
	for n := 0; ; n++ {
		page, hits := w.search(ann, ask)
		for _, hit := range hits {
			if got[hit] {
				t.Errorf("%s is there twice", hit)
			}
			got[hit] = true
		}
		if page.Next == "" {
			break
		}
		if len(hits) != ask.Limit || page.Partial {
			t.Fatalf("a page of %d hits, partial %v", len(hits), page.Partial)
		}
		ask.Cursor = page.Next
		w.say(ann, fmt.Sprintf("c%d", n%6), text(fmt.Sprintf("n%05d", n), "a new word"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSearchRefusals(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	encoded := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for name, r := range map[string]parley.SearchRequest{
		"nothing":           {},
		"space":             {Text: " \t\n"},
		"punctuation":       {Text: "*?()"},
		"too long":          {Text: strings.Repeat("a", search.MaxQueryRunes+1)},
		"too many terms":    {Text: strings.Repeat("a ", search.MaxQueryTerms) + "b c"},
		"not UTF-8":         {Text: "\xff"},
		"another place":     {Text: "text", In: "errors"},
		"no base64":         {Text: "text", Cursor: "#"},
		"no cursor":         {Text: "text", Cursor: encoded("cursor")},
		"no seq":            {Text: "text", Cursor: encoded("1.x.")},
		"a negative time":   {Text: "text", Cursor: encoded("-1.1.s/c/c1/messages")},
		"a negative seq":    {Text: "text", Cursor: encoded("1.-1.s/c/c1/messages")},
		"no stream":         {Text: "text", Cursor: encoded("1.1.s/u/ann/events")},
		"a list's":          {Text: "text", Cursor: encoded("1700000000000.c1")},
		"beyond any number": {Text: "text", Cursor: encoded("99999999999999999999.1.")},
	} {
		if name == "too many terms" {
			r.Text = ""
			for i := range search.MaxQueryTerms + 1 {
				r.Text += fmt.Sprintf(" w%d", i)
			}
		}
		page, err := w.bridge.Search(t.Context(), ann, r)
		if e := parley.ErrorOf(err); e == nil || e.Code != parley.CodeInvalid || strings.Contains(e.Message, "s/c/c1") {
			t.Errorf("%s: %+v, %v", name, page, err)
		}
	}
	w.finds(ann, parley.SearchRequest{Text: "text", Cursor: encoded("1.1.s/c/foreign/notes")}) // a place like any other
	for _, limit := range []int{-1, 0, 1, bridge.MaxSearchLimit, bridge.MaxSearchLimit + 1} {
		if page, _ := w.search(ann, parley.SearchRequest{Text: "text", Limit: limit}); len(page.Hits) != 1 {
			t.Errorf("limit %d: %d hits", limit, len(page.Hits))
		}
	}
}
