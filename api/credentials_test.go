package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
)

func TestVisitorSession(t *testing.T) {
	f := setup(t, nil)
	before := time.Now().UnixMilli()
	first := decode[api.Session](t, f.expect(t, f.do(t, request{method: "POST", path: "/v1/visitor-sessions",
		body: map[string]string{"siteKey": "key_1", "name": "韩梅梅", "unknown": "member"}}), http.StatusCreated))
	if first.Role != parley.RoleVisitor || first.Site != f.one.ID || first.Name != "韩梅梅" || first.Mqtt.Path != "/mqtt" {
		t.Errorf("session %+v", first)
	}
	if first.ServerTime < before || first.TokenExpiresAt < first.ServerTime+59*60*1000 {
		t.Errorf("at %d the token ends at %d, want in an hour", first.ServerTime, first.TokenExpiresAt)
	}

	me := decode[api.Me](t, f.expect(t, f.do(t, request{path: "/v1/me", token: first.Token}), http.StatusOK))
	want := api.Me{Site: first.Site, User: first.User, Device: first.Device, Role: first.Role, Name: first.Name, TokenExpiresAt: first.TokenExpiresAt}
	if diff := cmp.Diff(want, me); diff != "" {
		t.Error(diff)
	}

	again := decode[api.Session](t, f.expect(t, f.do(t, request{method: "POST", path: "/v1/visitor-sessions",
		body: map[string]string{"siteKey": "key_1", "refreshToken": first.RefreshToken, "device": first.Device}}), http.StatusCreated))
	refreshed := decode[api.Session](t, f.expect(t, f.do(t, request{method: "POST", path: "/v1/tokens/refresh",
		body: map[string]string{"refreshToken": first.RefreshToken}}), http.StatusOK))
	for _, s := range []api.Session{again, refreshed} {
		if s.User != first.User || s.Device != first.Device || s.Name != first.Name {
			t.Errorf("went on as %+v, want the same visitor and device as %+v", s, first)
		}
	}
}

func TestAgentSession(t *testing.T) {
	f := setup(t, nil)
	body := map[string]string{"site": f.one.ID, "email": "Agent@example.org", "password": password}
	s := decode[api.Session](t, f.expect(t, f.do(t, request{method: "POST", path: "/v1/agent-sessions", body: body}), http.StatusCreated))
	if s.User != f.agent().Identity.User || s.Role != parley.RoleAgent || s.Name != "agent" || s.Device == f.agent().Identity.Device {
		t.Errorf("session %+v", s)
	}
	body["password"] = "wrong password"
	r := f.do(t, request{method: "POST", path: "/v1/agent-sessions", body: body})
	expectProblem(t, r, http.StatusUnauthorized, parley.CodeUnauthenticated)
	for range 9 {
		r = f.do(t, request{method: "POST", path: "/v1/agent-sessions", body: body})
	}
	expectProblem(t, r, http.StatusUnauthorized, parley.CodeUnauthenticated)
	r = f.do(t, request{method: "POST", path: "/v1/agent-sessions", body: body})
	expectProblem(t, r, http.StatusTooManyRequests, parley.CodeRateLimited)
	if wait := r.header.Get("Retry-After"); wait < "890" || wait > "900" || len(wait) != 3 {
		t.Errorf("Retry-After is %q, want the rest of 15 minutes in seconds", wait)
	}
}

// bodies are good bodies of the operations that need no token.
func bodies(f *fixture) map[string]map[string]any {
	return map[string]map[string]any{
		"/v1/visitor-sessions": {"siteKey": f.one.Key, "refreshToken": f.visitor.RefreshToken, "device": f.visitor.Identity.Device, "name": "n"},
		"/v1/agent-sessions": {"site": f.one.Key, "email": "agent@example.org", "password": password,
			"refreshToken": f.agent().RefreshToken, "device": f.agent().Identity.Device},
		"/v1/tokens/refresh": {"refreshToken": f.visitor.RefreshToken},
	}
}

func TestMembersThatAreNotStringsAreRefused(t *testing.T) {
	f := setup(t, nil)
	for path, good := range bodies(f) {
		for member := range good {
			for name, value := range map[string]any{
				"operator":   map[string]any{"$ne": nil},
				"comparison": map[string]any{"$gt": ""},
				"pattern":    map[string]any{"$regex": ".*"},
				"list":       []string{"a"},
				"empty list": []string{},
				"null":       nil,
				"number":     1,
				"boolean":    true,
			} {
				t.Run(path+" "+member+" "+name, func(t *testing.T) {
					bad := map[string]any{}
					for k, v := range good {
						bad[k] = v
					}
					bad[member] = value
					expectProblem(t, f.do(t, request{method: "POST", path: path, body: bad}), http.StatusBadRequest, parley.CodeInvalid)
				})
			}
		}
	}
}

func TestMissingMembersAreRefused(t *testing.T) {
	f := setup(t, nil)
	for path, members := range map[string][]string{
		"/v1/visitor-sessions": {"siteKey"},
		"/v1/agent-sessions":   {"site", "email", "password"},
		"/v1/tokens/refresh":   {"refreshToken"},
	} {
		for _, member := range members {
			body := bodies(f)[path]
			delete(body, member)
			expectProblem(t, f.do(t, request{method: "POST", path: path, body: body}), http.StatusBadRequest, parley.CodeInvalid)
			body[member] = ""
			expectProblem(t, f.do(t, request{method: "POST", path: path, body: body}), http.StatusBadRequest, parley.CodeInvalid)
		}
	}
}

func TestMembersAreTakenByExactlyTheirNames(t *testing.T) {
	f := setup(t, nil)
	for body, status := range map[string]int{
		`{"siteKey":"key_1"}`:                                            http.StatusCreated,
		`{"siteKey":"key_1","SITEKEY":"key_9","NAME":7}`:                 http.StatusCreated, // others, hence ignored
		`{"siteKey":"key_1","unknown":null,"more":1,"more":{"a":[]}}`:    http.StatusCreated,
		`{"s\u0069teKey":"key_1"}`:                                       http.StatusCreated,
		`{"SiteKey":"key_1"}`:                                            http.StatusBadRequest,
		`{"siteKey":"key_1","siteKey":"key_1"}`:                          http.StatusBadRequest,
		`{"siteKey":"key_1","name":"a","n\u0061me":"b"}`:                 http.StatusBadRequest,
		`{"siteKey":"key_1","name":null}`:                                http.StatusBadRequest,
		`{"siteKey":"key_1"}{"name":"a"}`:                                http.StatusBadRequest,
		`{"siteKey":"key_1",}`:                                           http.StatusBadRequest,
		`{"siteKey":"key_1","name":{"siteKey":"key_1","siteKey":"key"}}`: http.StatusBadRequest,
	} {
		r := f.do(t, request{method: "POST", path: "/v1/visitor-sessions", body: body})
		if r.status != status {
			t.Errorf("%s: status %d, want %d: %s", body, r.status, status, r.body)
		}
	}
}

func TestBodiesThatAreNotObjectsAreRefused(t *testing.T) {
	f := setup(t, nil)
	for path := range bodies(f) {
		for _, body := range []string{"", "null", "[]", `"text"`, "1", "{", `{"siteKey":"key_1"}{}`, "siteKey=key_1", "\xff", "{\"name\":\"\xff\"}"} {
			expectProblem(t, f.do(t, request{method: "POST", path: path, body: body}), http.StatusBadRequest, parley.CodeInvalid)
		}
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", ";"} {
			r := request{method: "POST", path: path, body: bodies(f)[path], header: http.Header{"Content-Type": {kind}}}
			expectProblem(t, f.do(t, r), http.StatusUnsupportedMediaType, parley.CodeInvalid)
		}
	}
}

func TestPagesSpeakForTheirOwnSiteOnly(t *testing.T) {
	f := setup(t, nil)
	session := func(siteKey, origin string) response {
		return f.do(t, request{method: "POST", path: "/v1/visitor-sessions", body: map[string]string{"siteKey": siteKey},
			header: http.Header{"Origin": {origin}}})
	}
	f.expect(t, session("key_1", "https://one.example"), http.StatusCreated)
	f.expect(t, session("key_2", "https://two.example"), http.StatusCreated)
	f.expect(t, session("key_1", f.url), http.StatusCreated) // our own pages
	for _, origin := range []string{"https://two.example", "https://evil.example", "http://one.example", "https://one.example:8443", "https://one.example.evil.example", "null"} {
		expectProblem(t, session("key_1", origin), http.StatusForbidden, parley.CodeForbidden)
	}
}

func TestUnknownSite(t *testing.T) {
	f := setup(t, nil)
	for _, key := range []string{"unknown", "key 1", "'; DROP TABLE sites; --", fmt.Sprint(map[string]any{"$ne": nil})} {
		r := f.do(t, request{method: "POST", path: "/v1/visitor-sessions", body: map[string]string{"siteKey": key}})
		expectProblem(t, r, http.StatusNotFound, parley.CodeNotFound)
	}
}

// Who has signed out is out with every token of the device.
func TestSignOut(t *testing.T) {
	f := setup(t, nil)
	f.expect(t, f.post(t, f.visitor, "/v1/sign-out", nil), http.StatusNoContent)
	expectProblem(t, f.get(t, f.visitor, "/v1/me"), http.StatusUnauthorized, parley.CodeUnauthenticated)
	refresh := map[string]string{"refreshToken": f.visitor.RefreshToken}
	expectProblem(t, f.post(t, f.visitor, "/v1/tokens/refresh", refresh), http.StatusUnauthorized, parley.CodeUnauthenticated)
	f.expect(t, f.get(t, f.stranger, "/v1/me"), http.StatusOK)

	agent := f.agent()
	f.expect(t, f.post(t, f.owner(), "/v1/users/"+agent.Identity.User+"/sign-out", nil), http.StatusNoContent)
	expectProblem(t, f.get(t, agent, "/v1/me"), http.StatusUnauthorized, parley.CodeUnauthenticated)
}
