package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/access"
	"github.com/parley-chat/parley/bridge/attachment"
	"github.com/parley-chat/parley/bridge/blob"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// A password and its hash, which takes too long to make for every test.
const (
	password     = "correct horse battery"
	passwordHash = "$argon2id$v=19$m=19456,t=2,p=1$0Xba8XYLCxzYRpyF9Bp7jw$7ehmL/FZaxSwZN9DGVfQ+CyaB8fGk7BoOwwnYL6IGpI"
)

// fixture is a server with its real store, bridge and access, on a port of its
// own, and people of two sites.
type fixture struct {
	url     string
	store   *sqlite.Store
	bridge  *bridge.Bridge
	access  *access.Access
	keeper  *attachment.Keeper
	files   string        // the folder of attachments
	log     *bytes.Buffer // the server's, to be read after stop
	routes  routers.Router
	private http.Handler
	stop    func()

	one, two          parley.Site
	visitor, stranger parley.Credentials // of site one
	foreignVisitor    parley.Credentials // of site two
	// Agents sign in when a test first needs them: that takes a while.
	owner, agent, colleague func() parley.Credentials // of site one
	foreignOwner            func() parley.Credentials // of site two
	fresh                   func() parley.Credentials // another visitor of site one
}

// setup starts a server. change may replace some of its parts.
func setup(t *testing.T, change func(*api.Options)) *fixture {
	t.Helper()
	f := &fixture{log: &bytes.Buffer{}, routes: loadSpec(t)}
	f.openParts(t)
	f.provision(t)
	options := api.Options{
		Log: f.bridge, Access: f.access, Ready: f.bridge.Ready, Attachments: f.keeper,
		Origins: f.origins,
		Logger:  slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&options)
	}
	server := must(api.New(options))(t)
	f.private = server.Private()
	f.serve(t, server.Public())
	return f
}

func (f *fixture) openParts(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	f.store = must(sqlite.Open(ctx, sqlite.Options{Dir: t.TempDir()}))(t)
	t.Cleanup(func() { _ = f.store.Close() })
	f.bridge = must(bridge.New(ctx, f.store, bridge.Options{NewConversations: 10_000, SearchTime: time.Minute}))(t)
	t.Cleanup(func() { _ = f.bridge.Close() })
	f.access = must(access.New(ctx, f.store, access.Options{}))(t)
	f.files = filepath.Join(t.TempDir(), "attachments")
	f.keeper = attachment.New(attachment.Options{Rows: f.store, Blobs: must(blob.Open(f.files, blob.Options{}))(t), Conversations: f.bridge, Uploads: -1})
}

func (f *fixture) serve(t *testing.T, handler http.Handler) {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	server := api.NewHTTPServer(handler, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with ErrServerClosed
	}()
	f.url = "http://" + listener.Addr().String()
	f.stop = func() {
		_ = server.Shutdown(context.Background())
		<-done
	}
	t.Cleanup(f.stop)
}

func (f *fixture) provision(t *testing.T) {
	t.Helper()
	f.one = f.site(t, parley.Site{Key: "key_1", Name: "One", Origins: []string{"https://one.example"}},
		"owner", parley.RoleOwner, "agent", parley.RoleAgent, "colleague", parley.RoleAgent)
	f.two = f.site(t, parley.Site{Key: "key_2", Name: "Two", Origins: []string{"https://two.example"}}, "owner", parley.RoleOwner)
	f.owner, f.agent, f.colleague = f.signIn(t, f.one, "owner"), f.signIn(t, f.one, "agent"), f.signIn(t, f.one, "colleague")
	f.foreignOwner = f.signIn(t, f.two, "owner")
	f.fresh = func() parley.Credentials { return f.visit(t, f.one) }
	f.visitor, f.stranger, f.foreignVisitor = f.visit(t, f.one), f.visit(t, f.one), f.visit(t, f.two)
}

func (f *fixture) site(t *testing.T, site parley.Site, namesAndRoles ...any) parley.Site {
	t.Helper()
	site, _, err := f.access.Provision(t.Context(), site, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(namesAndRoles); i += 2 {
		name := namesAndRoles[i].(string)
		err := f.store.PutAccount(t.Context(), parley.Account{
			Site: site.ID, ID: parley.NewID(parley.PrefixAgent), Email: name + "@example.org", Name: name,
			Role: namesAndRoles[i+1].(parley.Role), PasswordHash: passwordHash,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return site
}

func (f *fixture) signIn(t *testing.T, site parley.Site, name string) func() parley.Credentials {
	return sync.OnceValue(func() parley.Credentials {
		t.Helper()
		r := parley.AgentRequest{Site: site.ID, Email: name + "@example.org", Password: password}
		return must(f.access.AgentSession(t.Context(), r))(t)
	})
}

func (f *fixture) visit(t *testing.T, site parley.Site) parley.Credentials {
	t.Helper()
	return must(f.access.VisitorSession(t.Context(), parley.VisitorRequest{SiteKey: site.Key, Name: "Han Meimei"}))(t)
}

func (f *fixture) origins(ctx context.Context) ([]string, error) {
	sites, err := f.store.Sites(ctx)
	var origins []string
	for _, s := range sites {
		origins = append(origins, s.Origins...)
	}
	return origins, err
}

// open makes a conversation of the visitor with n messages.
func (f *fixture) open(t *testing.T, n int) string {
	t.Helper()
	id := parley.NewID(parley.PrefixConversation)
	for range n {
		f.expect(t, f.post(t, f.visitor, "/v1/conversations/"+id+"/messages", draft("hello")), http.StatusCreated)
	}
	return id
}

func draft(text string) parley.Draft { return parley.NewText(parley.NewID(parley.PrefixMessage), text) }

// request is one call of the API.
type request struct {
	method string // GET if empty
	path   string
	token  string
	body   any // a string goes as it is, anything else as JSON
	header http.Header
	chunks bool // do not tell the length of the body
}

// response is an answer with its body read.
type response struct {
	status int
	header http.Header
	body   []byte
}

// decode reads a JSON body.
func decode[T any](t *testing.T, r response) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
	return v
}

func (f *fixture) get(t *testing.T, who parley.Credentials, path string) response {
	t.Helper()
	return f.do(t, request{path: path, token: who.Token})
}

func (f *fixture) post(t *testing.T, who parley.Credentials, path string, body any) response {
	t.Helper()
	return f.do(t, request{method: http.MethodPost, path: path, token: who.Token, body: body})
}

// do sends r and holds the answer against the description of the API, if its
// path and method are in there.
func (f *fixture) do(t *testing.T, r request) response {
	t.Helper()
	req := f.newRequest(t, r)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body := must(io.ReadAll(res.Body))(t)
	f.conforms(t, req, res, body)
	return response{status: res.StatusCode, header: res.Header, body: body}
}

func (f *fixture) newRequest(t *testing.T, r request) *http.Request {
	t.Helper()
	var body io.Reader
	switch b := r.body.(type) {
	case nil:
	case string:
		body = strings.NewReader(b)
	default:
		body = bytes.NewReader(must(json.Marshal(b))(t))
	}
	if r.method == "" {
		r.method = http.MethodGet
	}
	req := must(http.NewRequestWithContext(t.Context(), r.method, f.url+r.path, body))(t)
	if r.header != nil {
		req.Header = r.header.Clone()
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.chunks {
		req.ContentLength = -1
	}
	if body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

func loadSpec(t *testing.T) routers.Router {
	t.Helper()
	doc := must(openapi3.NewLoader().LoadFromData(must(os.ReadFile("openapi.yaml"))(t)))(t)
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return must(gorillamux.NewRouter(doc))(t)
}

func (f *fixture) conforms(t *testing.T, req *http.Request, res *http.Response, body []byte) {
	t.Helper()
	described := req.Clone(context.Background())
	described.URL.Scheme, described.URL.Host, described.Host = "", "", ""
	route, params, err := f.routes.FindRoute(described)
	if err != nil {
		return // not of the API
	}
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: described, PathParams: params, Route: route, Options: options},
		Status:                 res.StatusCode, Header: res.Header, Body: io.NopCloser(bytes.NewReader(body)), Options: options,
	})
	if err != nil {
		t.Errorf("%s %s: the answer is not as described: %v", req.Method, req.URL.Path, err)
	}
}

// problem is what an error answer holds.
type problem struct {
	Type       string      `json:"type"`
	Title      string      `json:"title"`
	Status     int         `json:"status"`
	Detail     string      `json:"detail"`
	Code       parley.Code `json:"code"`
	Retry      bool        `json:"retry"`
	ID         string      `json:"id"`
	RetryAfter int         `json:"retryAfter"`
}

func (f *fixture) expect(t *testing.T, r response, status int) response {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	return r
}

// expectProblem checks the whole shape of an error answer.
func expectProblem(t *testing.T, r response, status int, code parley.Code) problem {
	t.Helper()
	if kind := r.header.Get("Content-Type"); kind != "application/problem+json" {
		t.Fatalf("content type %q with status %d: %s", kind, r.status, r.body)
	}
	p := decode[problem](t, r)
	if r.status != status || p.Status != status || p.Code != code || p.Retry != code.Retry() ||
		p.Type != "about:blank" || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Errorf("status %d, problem %+v; want status %d, code %s", r.status, p, status, code)
	}
	return p
}

// must fails the test when the call before it failed.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
