package api_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
)

// search asks for a page; params are names and values.
func (f *fixture) search(t *testing.T, who parley.Credentials, params ...string) response {
	t.Helper()
	query := url.Values{}
	for i := 0; i < len(params); i += 2 {
		query.Set(params[i], params[i+1])
	}
	return f.get(t, who, "/v1/search?"+query.Encode())
}

// hits expects a whole page with messages that say so.
func (f *fixture) hits(t *testing.T, r response, want ...string) api.SearchPage {
	t.Helper()
	page := decode[api.SearchPage](t, f.expect(t, r, http.StatusOK))
	var got []string
	for _, h := range page.Hits {
		var text strings.Builder
		for _, p := range h.Snippet {
			text.WriteString(p.Text)
		}
		got = append(got, text.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hits (-want +got):\n%s", diff)
	}
	return page
}

func TestSearch(t *testing.T) {
	f := setup(t, nil)
	id := parley.NewID(parley.PrefixConversation)
	for _, s := range []string{"退款 <b>please</b>", "my refund", "nothing else"} {
		f.expect(t, f.post(t, f.visitor, messagesPath(id), draft(s)), http.StatusCreated)
	}
	page := f.hits(t, f.search(t, f.visitor, "q", "please 退款"), "退款 <b>please</b>")
	if page.Epoch != f.bridge.Epoch() || page.Partial || page.Indexing || page.NextCursor != nil {
		t.Errorf("%+v", page)
	}
	hit := page.Hits[0]
	if hit.Conversation != id || hit.Visitor != (parley.Person{ID: f.visitor.Identity.User, Name: "Han Meimei"}) || hit.In != parley.TopicMessages || hit.Seq != 2 ||
		hit.Sender != f.visitor.Identity.User || hit.Role != parley.RoleVisitor || hit.Type != parley.EntryText || hit.At == 0 || hit.Edited {
		t.Errorf("%+v", hit)
	}
	pieces := []parley.SnippetPiece{{Text: "退款", Hit: true}, {Text: " <b>"}, {Text: "please", Hit: true}, {Text: "</b>"}}
	if diff := cmp.Diff(pieces, hit.Snippet); diff != "" {
		t.Error(diff)
	}
	f.hits(t, f.search(t, f.stranger, "q", "please"))
	f.hits(t, f.search(t, f.foreignOwner(), "q", "please"))
	f.hits(t, f.search(t, f.agent(), "q", "refunds", "in", "messages"), "my refund") // it is queued
	f.hits(t, f.search(t, f.agent(), "q", "refunds", "in", "notes"))
	f.expect(t, f.post(t, f.colleague(), "/v1/conversations/"+id+"/claim", nil), http.StatusOK)
	f.hits(t, f.search(t, f.agent(), "q", "refunds"))
	f.hits(t, f.search(t, f.owner(), "q", "refunds", "agent", f.colleague().Identity.User, "visitor", f.visitor.Identity.User,
		"sender", f.visitor.Identity.User, "conversation", id, "type", "text", "from", "1", "to", "9007199254740991"), "my refund")
	f.hits(t, f.search(t, f.owner(), "q", "refunds", "agent", f.agent().Identity.User))
}

func TestSearchPages(t *testing.T) {
	f := setup(t, nil)
	f.open(t, 5)
	params := []string{"q", "hello", "limit", "2"}
	for _, want := range []int{2, 2, 1} {
		page := decode[api.SearchPage](t, f.expect(t, f.search(t, f.visitor, params...), http.StatusOK))
		if len(page.Hits) != want || (page.NextCursor == nil) != (want == 1) {
			t.Fatalf("%d hits, next %v", len(page.Hits), page.NextCursor)
		}
		if page.NextCursor != nil {
			params = append(params[:4:4], "cursor", *page.NextCursor)
		}
	}
}

func TestSearchRefusals(t *testing.T) {
	f := setup(t, nil)
	for _, params := range [][]string{
		{}, {"q", ""}, {"q", "***"}, {"q", strings.Repeat("x", 201)}, {"q", "\xff"}, {"q", strings.Repeat("(a+)+ ", 2000)},
		{"q", "x", "in", "errors"}, {"q", "x", "conversation", "a.b"}, {"q", "x", "visitor", ""}, {"q", "x", "agent", "$ne"}, {"q", "x", "sender", "{}"},
		{"q", "x", "type", "TEXT"}, {"q", "x", "from", "0"}, {"q", "x", "to", "-1"}, {"q", "x", "from", "yesterday"},
		{"q", "x", "limit", "0"}, {"q", "x", "limit", "101"}, {"q", "x", "limit", "x"}, {"q", "x", "cursor", "x"}, {"q", "x", "cursor", strings.Repeat("x", 5000)},
	} {
		expectProblem(t, f.search(t, f.owner(), params...), http.StatusBadRequest, parley.CodeInvalid)
	}
	if p := expectProblem(t, f.search(t, f.owner(), "q", "x", "limit", "x"), http.StatusBadRequest, parley.CodeInvalid); !strings.Contains(p.Detail, "parameter limit") {
		t.Errorf("it does not say which: %+v", p)
	}
	if p := expectProblem(t, f.search(t, f.owner(), "q", "x", "limit", "0"), http.StatusBadRequest, parley.CodeInvalid); p.Detail != "limit is 1 to 100" {
		t.Errorf("a limit of 0: %+v", p)
	}
	for _, path := range []string{"/v1/search?q=x&", "/v1/conversations?"} {
		p := expectProblem(t, f.get(t, f.owner(), path+"limit=2&limit=0"), http.StatusBadRequest, parley.CodeInvalid)
		if !strings.Contains(p.Detail, "the parameter limit is missing, given twice") {
			t.Errorf("a limit given twice: %+v", p)
		}
	}
	expectProblem(t, f.search(t, f.visitor, "q", "x", "in", "notes"), http.StatusForbidden, parley.CodeForbidden)
	f.hits(t, f.search(t, f.owner(), "q", strings.Repeat("x", 200), "limit", "100"))
	f.hits(t, f.search(t, f.owner(), "q", "x", "limit", "1", "unknown", "ignored"))
}

// busy is a log whose searches are too many.
type busy struct{ api.Log }

func (busy) Search(context.Context, parley.Identity, parley.SearchRequest) (parley.SearchPage, error) {
	return parley.SearchPage{}, parley.Limited(1500*time.Millisecond, "too many")
}

func TestSearchIsLimited(t *testing.T) {
	f := setup(t, func(o *api.Options) { o.Log = busy{o.Log} })
	r := f.search(t, f.visitor, "q", "x")
	if p := expectProblem(t, r, http.StatusTooManyRequests, parley.CodeRateLimited); p.RetryAfter != 2 || r.header.Get("Retry-After") != "2" {
		t.Errorf("%+v, headers %v", p, r.header)
	}
}
