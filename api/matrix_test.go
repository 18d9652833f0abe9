package api_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
)

// operation is one route of the description, with how it is called well.
type operation struct {
	method, route string
	path          func(f *fixture) string // nil: the route itself
	body          func(f *fixture) any
	status        int                                 // when the visitor, or who is named here, calls it
	who           func(f *fixture) parley.Credentials // nil: the visitor
	open          bool                                // needs no token
	// what others of the same site get; they have a token
	stranger, agent int
	// conversation tells that the path names one
	conversation bool
	header       http.Header
	also         []string // methods that the path has as well
}

func operations(conversation string) []operation {
	in := func(tail string) func(*fixture) string {
		return func(*fixture) string { return "/v1/conversations/" + conversation + tail }
	}
	of := func(state, tail string) func(*fixture) string { // an attachment of the visitor
		return func(f *fixture) string { return "/v1/attachments/" + f.attachment(conversation, state) + tail }
	}
	every := []string{"PATCH", "DELETE"}
	owner := func(f *fixture) parley.Credentials { return f.owner() }
	return []operation{
		{method: "POST", route: "/v1/visitor-sessions", open: true, status: 201, body: func(f *fixture) any {
			return map[string]string{"siteKey": f.one.Key}
		}},
		{method: "POST", route: "/v1/agent-sessions", open: true, status: 201, body: func(f *fixture) any {
			return map[string]string{"site": f.one.Key, "email": "agent@example.org", "password": password}
		}},
		{method: "POST", route: "/v1/tokens/refresh", open: true, status: 200, body: func(f *fixture) any {
			return map[string]string{"refreshToken": f.visitor.RefreshToken}
		}},
		{method: "GET", route: "/v1/openapi.yaml", open: true, status: 200},
		{method: "GET", route: "/healthz", open: true, status: 200},
		{method: "GET", route: "/readyz", open: true, status: 200},
		{method: "GET", route: "/v1/me", status: 200, stranger: 200, agent: 200},
		{method: "POST", route: "/v1/users/{user}/sign-out", path: func(*fixture) string { return "/v1/users/vis_nobody/sign-out" }, status: 204, who: owner, stranger: 403, agent: 403},
		{method: "GET", route: "/v1/me/registers", status: 200, stranger: 200, agent: 200},
		{method: "POST", route: "/v1/me/registers", status: 200, stranger: 200, agent: 200, body: func(*fixture) any {
			return map[string]any{"id": "set_00001", "key": "tabs", "value": []string{"cnv_1"}, "basedOn": 0}
		}},
		{method: "GET", route: "/v1/conversations", status: 200, stranger: 200, agent: 200},
		{method: "GET", route: "/v1/conversations/{id}", path: in(""), conversation: true, status: 200, stranger: 404, agent: 200},
		{method: "GET", route: "/v1/conversations/{id}/messages", path: in("/messages"), conversation: true, status: 200, stranger: 404, agent: 200},
		{method: "GET", route: "/v1/conversations/{id}/notes", path: in("/notes"), conversation: true, status: 200, who: owner, stranger: 404, agent: 200},
		{method: "POST", route: "/v1/conversations/{id}/messages", path: in("/messages"), conversation: true, status: 201, stranger: 404, agent: 403,
			body: func(*fixture) any { return draft("hello") }},
		{method: "POST", route: "/v1/conversations/{id}/marks", path: in("/marks"), conversation: true, status: 204, stranger: 404, agent: 204,
			body: func(*fixture) any { return map[string]int{"read": 1} }},
		{method: "POST", route: "/v1/conversations/{id}/close", path: in("/close"), conversation: true, status: 200, who: owner, stranger: 404, agent: 403},
		{method: "POST", route: "/v1/conversations/{id}/claim", path: in("/claim"), conversation: true, status: 200, who: owner, stranger: 404, agent: 200},
		{method: "POST", route: "/v1/conversations/{id}/attachments", path: in("/attachments"), conversation: true, status: 201, stranger: 404, agent: 201,
			body: func(*fixture) any { return map[string]any{"name": "a.txt", "size": 5} }},
		{method: "GET", route: "/v1/attachments/{attachment}", path: of("sent", ""), status: 200, stranger: 404, agent: 200, also: every},
		{method: "HEAD", route: "/v1/attachments/{attachment}", path: of("taking", ""), status: 204, stranger: 404, agent: 404, also: every},
		{method: "PATCH", route: "/v1/attachments/{attachment}", path: of("taking", ""), status: 204, stranger: 404, agent: 404, also: every,
			header: http.Header{"Upload-Offset": {"0"}, "Content-Type": {"application/octet-stream"}}, body: func(*fixture) any { return "hello" }},
		{method: "DELETE", route: "/v1/attachments/{attachment}", path: of("taking", ""), status: 204, stranger: 404, agent: 404, also: every},
		{method: "POST", route: "/v1/attachments/{attachment}/complete", path: of("whole", "/complete"), status: 200, stranger: 404, agent: 404},
		{method: "GET", route: "/v1/attachments/{attachment}/file", path: of("sent", "/file"), status: 200, stranger: 404, agent: 200},
		{method: "GET", route: "/v1/attachments/{attachment}/thumbnail", path: of("sent", "/thumbnail"), status: 200, stranger: 404, agent: 200},
		{method: "GET", route: "/v1/search", path: func(*fixture) string { return "/v1/search?q=hello" }, status: 200, stranger: 200, agent: 200},
		{method: "POST", route: "/v1/sign-out", status: 204, who: func(f *fixture) parley.Credentials { return f.fresh() }, stranger: 204, agent: 204}, // the last: nobody comes in after it
	}
}

func (o operation) request(f *fixture, token string) request {
	r := request{method: o.method, path: o.route, token: token, header: o.header}
	if o.path != nil {
		r.path = o.path(f)
	}
	if o.body != nil {
		r.body = o.body(f)
	}
	return r
}

func TestEveryRouteOfTheDescriptionIsInTheMatrix(t *testing.T) {
	doc := must(openapi3.NewLoader().LoadFromData(must(os.ReadFile("openapi.yaml"))(t)))(t)
	described := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			described[method+" "+path] = op.Security != nil && len(*op.Security) == 0
		}
	}
	for _, o := range operations("cnv") {
		open, ok := described[o.method+" "+o.route]
		if !ok || open != o.open {
			t.Errorf("%s %s: described %t, open %t; the matrix says open %t", o.method, o.route, ok, open, o.open)
		}
		delete(described, o.method+" "+o.route)
	}
	for route := range described {
		t.Errorf("%s is not in the matrix", route)
	}
}

func TestRoutes(t *testing.T) {
	f := setup(t, nil)
	for _, o := range operations("") {
		t.Run(o.method+" "+o.route, func(t *testing.T) {
			// Each route gets a conversation of its own, and so does each kind of caller.
			fresh := func() operation {
				id := f.open(t, 1)
				for _, same := range operations(id) {
					if same.method == o.method && same.route == o.route {
						return same
					}
				}
				return o
			}
			who := f.visitor
			if o.who != nil {
				who = o.who(f)
			}
			f.expect(t, f.do(t, fresh().request(f, who.Token)), o.status)
			checkMethods(t, f, fresh())
			if o.open {
				return
			}
			checkTokens(t, f, fresh())
			f.expect(t, f.do(t, fresh().request(f, f.stranger.Token)), o.stranger)
			f.expect(t, f.do(t, fresh().request(f, f.agent().Token)), o.agent)
			if o.conversation {
				checkOtherSite(t, f, fresh())
				checkIDs(t, f, o)
			}
		})
	}
}

// checkMethods calls the path with methods that it does not have.
func checkMethods(t *testing.T, f *fixture, o operation) {
	t.Helper()
	for _, method := range []string{"PUT", "DELETE", "PATCH", "TRACE", "BREW"} {
		if slices.Contains(o.also, method) {
			continue
		}
		r := o.request(f, f.visitor.Token)
		r.method = method
		expectProblem(t, f.do(t, r), http.StatusMethodNotAllowed, parley.CodeInvalid)
	}
}

// checkTokens calls the path without a good token; the body is bad as well, and
// must not matter.
func checkTokens(t *testing.T, f *fixture, o operation) {
	t.Helper()
	for name, authorization := range map[string]string{
		"none":              "",
		"empty":             "Bearer ",
		"nonsense":          "Bearer nonsense",
		"another scheme":    "Basic " + f.visitor.Token,
		"no scheme":         f.visitor.Token,
		"a refresh token":   "Bearer " + f.visitor.RefreshToken,
		"two tokens":        "Bearer " + f.visitor.Token + " " + f.visitor.Token,
		"larger than any":   "Bearer " + strings.Repeat("x", 9000),
		"a changed payload": "Bearer " + strings.Replace(f.visitor.Token, ".", ".e", 1),
	} {
		r := o.request(f, "")
		r.header = http.Header{}
		if authorization != "" {
			r.header.Set("Authorization", authorization)
		}
		if r.body != nil {
			r.body = "{"
		}
		res := f.do(t, r)
		if o.method == http.MethodHead {
			f.expect(t, res, http.StatusUnauthorized)
			continue
		}
		expectProblem(t, res, http.StatusUnauthorized, parley.CodeUnauthenticated)
		if res.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
}

// checkOtherSite calls the path as the most powerful people of another site. A
// visitor of another site posts into a conversation of that site, which happens
// to have the same id.
func checkOtherSite(t *testing.T, f *fixture, o operation) {
	t.Helper()
	expectProblem(t, f.do(t, o.request(f, f.foreignOwner().Token)), http.StatusNotFound, parley.CodeNotFound)
	if o.method == http.MethodPost && o.status == http.StatusCreated {
		res := f.do(t, o.request(f, f.foreignVisitor.Token))
		if strings.HasSuffix(o.route, "/attachments") {
			f.expect(t, res, http.StatusCreated) // for its own conversation
			return
		}
		if r := decode[api.Receipt](t, f.expect(t, res, http.StatusCreated)); r.Seq != 2 {
			t.Errorf("the message of another site has seq %d, want 2, behind the opening of its own conversation", r.Seq)
		}
		return
	}
	expectProblem(t, f.do(t, o.request(f, f.foreignVisitor.Token)), http.StatusNotFound, parley.CodeNotFound)
}

// checkIDs calls the path with conversation ids that cannot be.
func checkIDs(t *testing.T, f *fixture, o operation) {
	t.Helper()
	for _, id := range []string{"a.b", "%2B", "%23", "a%2Fb", "%00", "%24ne", "%7B%22%24ne%22%3Anull%7D", "%E4%BD%A0", strings.Repeat("x", 65)} {
		r := o.request(f, f.owner().Token)
		r.path = strings.Replace(o.route, "{id}", id, 1)
		expectProblem(t, f.do(t, r), http.StatusBadRequest, parley.CodeInvalid)
	}
	r := o.request(f, f.owner().Token)
	r.path = strings.Replace(o.route, "{id}", "cnv_unknown", 1)
	expectProblem(t, f.do(t, r), http.StatusNotFound, parley.CodeNotFound)
}

func TestNothingElseIsServed(t *testing.T) {
	f := setup(t, nil)
	for _, path := range []string{"/v1", "/v1/", "/v1/unknown", "/v2/me", "/metrics", "/debug/pprof/", "/mqtt", "/chat/", "/.git/config", "/v1/conversations/x/unknown", "//v1/me"} {
		expectProblem(t, f.get(t, f.owner(), path), http.StatusNotFound, parley.CodeNotFound)
	}
}
