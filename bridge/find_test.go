package bridge_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/search"
	"github.com/parley-chat/parley/bridge/sqlite"
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
	w := newWorld(t)
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
	w.later += time.Hour
	second := w.say(lilei, "c1", text("00002", "hello from Li Lei"))[0].Entry
	w.later += time.Hour
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

// held is a store whose searches wait for release, or for the end of their time.
type held struct {
	*sqlite.Store
	entered chan struct{}
	release chan struct{}
}

func (h held) FindDocuments(ctx context.Context, q bridge.DocumentQuery) ([]bridge.Found, error) {
	h.entered <- struct{}{}
	select {
	case <-h.release:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return h.Store.FindDocuments(ctx, q)
}

func holding(t *testing.T, limit time.Duration) (held, *bridge.Bridge) {
	store, err := sqlite.Open(t.Context(), sqlite.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	h := held{store, make(chan struct{}, 100), make(chan struct{})}
	b, err := bridge.New(t.Context(), h, bridge.Options{SearchTime: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(b.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	if _, err := b.Record(t.Context(), ann, "c1", []parley.Draft{draft(1)}); err != nil {
		t.Fatal(err)
	}
	return h, b
}

func TestSearchesAtOnce(t *testing.T) {
	h, b := holding(t, time.Minute)
	var wg sync.WaitGroup
	for range bridge.SearchesAtOnce {
		wg.Go(func() {
			if page, err := b.Search(t.Context(), ann, looking("text")); err != nil || len(page.Hits) != 1 {
				t.Errorf("%+v, %v", page, err)
			}
		})
		<-h.entered
	}
	_, err := b.Search(t.Context(), ann, looking("text"))
	expectCode(t, err, parley.CodeRateLimited)
	if e := parley.ErrorOf(err); e.RetryAfter <= 0 {
		t.Errorf("it does not say when to come back: %+v", e)
	}
	close(h.release)
	wg.Wait()
	if page, err := b.Search(t.Context(), ann, looking("text")); err != nil || len(page.Hits) != 1 {
		t.Errorf("after that: %+v, %v", page, err)
	}
	if s := b.Stats(); s.Searches != bridge.SearchesAtOnce+1 || s.SearchesLimited != 1 || s.SearchesPartial != 0 {
		t.Errorf("%+v", s)
	}
}

// Many users together get as much as the machine has room for; all are answered.
func TestSearchesOfMany(t *testing.T) {
	h, b := holding(t, time.Second)
	var wg sync.WaitGroup
	codes := make(chan parley.Code, 100)
	for n := range cap(codes) {
		wg.Go(func() {
			who := boss
			who.User = fmt.Sprintf("agt_%d", n)
			page, err := b.Search(t.Context(), who, looking("text"))
			switch {
			case err != nil:
				codes <- parley.ErrorOf(err).Code
			case !page.Partial || page.Next == "":
				codes <- "a page that is not partial"
			default:
				codes <- ""
			}
		})
	}
	wg.Wait()
	close(codes)
	count := map[parley.Code]int{}
	for code := range codes {
		count[code]++
	}
	if len(h.entered) > 20 || count[""] == 0 || count[""]+count[parley.CodeRateLimited] != 100 {
		t.Errorf("%d have searched, answers %v", len(h.entered), count)
	}
}

// A search whose time is up goes on where it ended, and does not tell where that
// was if that is in a conversation of others.
func TestSearchIsCutOff(t *testing.T) {
	h, b := holding(t, time.Second)
	page, err := b.Search(t.Context(), ann, looking("text"))
	if err != nil || !page.Partial || page.Next == "" || len(page.Hits) != 0 {
		t.Fatalf("%+v, %v", page, err)
	}
	close(h.release)
	page, err = b.Search(t.Context(), ann, parley.SearchRequest{Text: "text", Cursor: page.Next})
	if err != nil || page.Partial || page.Next != "" || len(page.Hits) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Search(ctx, ann, looking("text")); err == nil {
		t.Error("nobody waits for a search, and it is answered")
	}
}

// What somebody loses the right to read while the search runs is not shown, though
// it was found before.
func TestSearchDropsWhatIsLostMeanwhile(t *testing.T) {
	h, b := holding(t, time.Minute)
	w := &world{T: t, bridge: b}
	w.say(bob, "c2", text("00001", "text of Bob"))
	w.claim(hanmm, "c2")
	w.say(bob, "c2", text("00002", "more text of Bob"))
	w.say(ann, "c1", text("00002", "more text of Ann"))
	found := make(chan parley.SearchPage, 1)
	go func() {
		page, err := b.Search(t.Context(), lilei, parley.SearchRequest{Text: "text", Limit: 2})
		if err != nil {
			t.Error(err)
		}
		found <- page
	}()
	<-h.entered
	h.release <- struct{}{}
	<-h.entered // one of Ann's is found, one of Bob's is not for Li Lei
	w.claim(hanmm, "c1")
	h.release <- struct{}{}
	if page := <-found; len(page.Hits) != 0 {
		t.Errorf("%+v", page)
	}
}
