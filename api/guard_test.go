package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
	"github.com/parley-chat/parley/bridge"
)

// bodyOf returns a good visitor session body of exactly n bytes.
func bodyOf(n int) string {
	const head, tail = `{"siteKey":"key_1","padding":"`, `"}`
	return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
}

func TestBodyLimit(t *testing.T) {
	f := setup(t, nil)
	send := func(body any) response {
		return f.do(t, request{method: "POST", path: "/v1/visitor-sessions", body: body})
	}
	f.expect(t, send(bodyOf(256<<10)), http.StatusCreated)
	expectProblem(t, send(bodyOf(256<<10+1)), http.StatusRequestEntityTooLarge, parley.CodeTooLarge)
	expectProblem(t, send(bodyOf(1<<20)), http.StatusRequestEntityTooLarge, parley.CodeTooLarge)

	// Without a Content-Length the limit is found while reading.
	chunks := func(body string) response {
		return f.do(t, request{method: "POST", path: "/v1/visitor-sessions", body: body, chunks: true})
	}
	f.expect(t, chunks(bodyOf(256<<10)), http.StatusCreated)
	expectProblem(t, chunks(bodyOf(256<<10+1)), http.StatusRequestEntityTooLarge, parley.CodeTooLarge)
}

func TestLargestDraft(t *testing.T) {
	f := setup(t, nil)
	const frame = len(`{"text":""}`)
	fits := parley.NewText("msg_largest", strings.Repeat("x", parley.MaxBodyBytes-frame))
	f.expect(t, f.post(t, f.visitor, messagesPath("cnv_large"), fits), http.StatusCreated)
	over := parley.NewText("msg_over", strings.Repeat("x", parley.MaxBodyBytes-frame+1))
	if p := expectProblem(t, f.post(t, f.visitor, messagesPath("cnv_large"), over), http.StatusRequestEntityTooLarge, parley.CodeTooLarge); p.ID != "msg_over" {
		t.Errorf("the refusal is about %q", p.ID)
	}
}

func TestSecurityHeaders(t *testing.T) {
	f := setup(t, nil)
	for _, path := range []string{"/v1/me", "/v1/openapi.yaml", "/healthz", "/", "/agent/", "/widget.js", "/unknown"} {
		h := f.get(t, f.visitor, path).header
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Request-Id") == "" {
			t.Errorf("%s: headers %v", path, h)
		}
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'self'") && !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if strings.HasPrefix(path, "/v1/") && h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached: %q", path, h.Get("Cache-Control"))
		}
	}
}

func TestCORS(t *testing.T) {
	f := setup(t, nil)
	everybody := setup(t, func(o *api.Options) { o.Origins = originList("https://one.example", "*") })
	nobody := setup(t, func(o *api.Options) { o.Origins = nil })
	for _, c := range []struct {
		name   string
		f      *fixture
		origin string
		want   string
	}{
		{"a site's page", f, "https://one.example", "https://one.example"},
		{"another site's page", f, "https://two.example", "https://two.example"},
		{"a stranger's page", f, "https://evil.example", ""},
		{"another scheme", f, "http://one.example", ""},
		{"a longer name", f, "https://one.example.evil.example", ""},
		{"other cases", f, "HTTPS://ONE.EXAMPLE", ""},
		{"from nowhere", f, "null", ""},
		{"no page", f, "", ""},
		{"our own page", f, f.url, ""},
		{"anybody's page where * is", everybody, "https://evil.example", "*"},
		{"no sites", nobody, "https://one.example", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := http.Header{}
			if c.origin != "" {
				header.Set("Origin", c.origin)
			}
			for _, r := range []request{
				{path: "/v1/me", token: c.f.visitor.Token, header: header},
				{path: "/v1/me", header: header}, // refusals are readable too
			} {
				h := c.f.do(t, r).header
				if got := h.Get("Access-Control-Allow-Origin"); got != c.want || h.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("allowed origin %q, want %q; headers %v", got, c.want, h)
				}
				if !strings.Contains(strings.Join(h.Values("Vary"), ","), "Origin") {
					t.Errorf("the answer does not vary by Origin: %v", h)
				}
			}
			header.Set("Access-Control-Request-Method", "POST")
			pre := c.f.do(t, request{method: http.MethodOptions, path: "/v1/conversations/x/messages", header: header})
			c.f.expect(t, pre, http.StatusNoContent)
			if got := pre.header.Get("Access-Control-Allow-Origin"); got != c.want {
				t.Errorf("preflight allows %q, want %q", got, c.want)
			}
			if cached := pre.header.Get("Access-Control-Max-Age") != ""; cached != (c.want != "") {
				t.Errorf("preflight headers %v", pre.header)
			}
		})
	}
}

func TestTheLogHoldsNoSecrets(t *testing.T) {
	f := setup(t, nil)
	secret := "s3cr3t-in-the-query"
	conversation := parley.NewID(parley.PrefixConversation)
	f.expect(t, f.get(t, f.visitor, "/v1/me?token="+secret), http.StatusOK)
	f.expect(t, f.post(t, f.visitor, messagesPath(conversation), draft("the body of the message")), http.StatusCreated)
	f.do(t, request{method: "POST", path: "/v1/agent-sessions", body: map[string]string{"site": "key_1", "email": "agent@example.org", "password": password}})
	f.do(t, request{method: "POST", path: "/v1/tokens/refresh", body: map[string]string{"refreshToken": f.visitor.RefreshToken}})
	f.stop()
	for _, never := range []string{secret, "body of the message", password, f.visitor.Token, f.visitor.RefreshToken, "agent@example.org"} {
		if strings.Contains(f.log.String(), never) {
			t.Errorf("the log holds %q:\n%s", never, f.log)
		}
	}
	if !strings.Contains(f.log.String(), `"path":"/v1/conversations/`+conversation) {
		t.Errorf("the request is not in the log:\n%s", f.log)
	}
}

// The refusal is temporary, says when to come back, and names the message.
func TestTooManyNewConversations(t *testing.T) {
	f := setup(t, nil)
	strict := must(bridge.New(t.Context(), f.store, bridge.Options{NewConversations: 1, Now: func() time.Time { return time.Unix(0, 0) }}))(t)
	defer func() { _ = strict.Close() }()
	f = setup(t, func(o *api.Options) { o.Log = strict })
	f.open(t, 3)
	d := draft("hello")
	r := f.post(t, f.visitor, messagesPath("cnv_one_more"), d)
	if p := expectProblem(t, r, http.StatusTooManyRequests, parley.CodeRateLimited); p.ID != d.ID {
		t.Errorf("the refusal is about %q, want %q", p.ID, d.ID)
	}
	if wait := r.header.Get("Retry-After"); wait != "180" {
		t.Errorf("Retry-After is %q, want the 180 s after which one more is allowed", wait)
	}
}

// What strangers and visitors do is logged for those who look, and wakes nobody.
func TestVisitorsCannotRaiseAlarms(t *testing.T) {
	f := setup(t, func(o *api.Options) {
		log := o.Log
		o.RequestTimeout = 50 * time.Millisecond
		o.Log = failing{log, func(ctx context.Context) error { // a store that others keep busy
			<-ctx.Done()
			return ctx.Err()
		}}
	})
	paths := []string{"/", "/agent/../x", "/agent/%00", "/v1", "/v1/%ff", "/v1/me", "/mqtt", "/widget.js", messagesPath("%00"), messagesPath("cnv_1"),
		messagesPath("cnv_1") + "?after=x", "/v1/search?q=x", "/v1/search?q=%ff&cursor=x", "/v1/conversations?cursor=x", "/v1/conversations/cnv_1", "/v1/conversations/cnv_1/claim", "/v1/visitor-sessions",
		"/v1/agent-sessions", "/v1/tokens/refresh"}
	bodies := []any{nil, "", "{", "\xff", "null", draft("hello"), strings.Repeat("[", 300_000), map[string]any{"siteKey": nil, "refreshToken": "x", "site": "x"}}
	for _, path := range paths {
		for _, body := range bodies {
			for _, token := range []string{"", "nonsense", f.visitor.Token} {
				for _, method := range []string{"GET", "POST", "BREW"} {
					f.do(t, request{method: method, path: path, token: token, body: body})
				}
			}
		}
	}
	f.stop()
	for line := range strings.Lines(f.log.String()) {
		if !strings.Contains(line, `"level":"DEBUG"`) && !strings.Contains(line, `"level":"INFO"`) {
			t.Errorf("a visitor wrote %s", line)
		}
	}
	if !strings.Contains(f.log.String(), "http request failed") {
		t.Errorf("what could not be finished is not in the log at all")
	}
}

func TestForwardedForIsBelievedFromTrustedProxiesOnly(t *testing.T) {
	trusting := func(o *api.Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }
	for _, c := range []struct {
		name   string
		change func(*api.Options)
		hops   string
		want   string
	}{
		{"by default nobody", nil, "10.0.0.1, 203.0.113.7", "127.0.0.1"},
		{"a trusted proxy", trusting, "10.0.0.1, 203.0.113.7", "203.0.113.7"},
		{"one that adds ports", trusting, "10.0.0.1:80, 203.0.113.7:41234", "203.0.113.7"},
		{"one that adds ports to IPv6", trusting, "[2001:db8::7]:443", "2001:db8::7"},
		{"one behind another", trusting, "203.0.113.7:41234,127.0.0.9", "203.0.113.7"},
		{"one that says nonsense", trusting, "203.0.113.7, unknown", "127.0.0.1"},
		{"one that says nothing", trusting, "", "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := setup(t, c.change)
			f.do(t, request{path: "/v1/openapi.yaml", header: http.Header{"X-Forwarded-For": {c.hops}, "X-Real-Ip": {"10.0.0.2"}}})
			f.stop()
			if !strings.Contains(f.log.String(), `"remote":"`+c.want+`"`) {
				t.Errorf("the log does not say %s:\n%s", c.want, f.log)
			}
		})
	}
}

// MQTT counts connections by where they come from: nobody else's word is taken for
// that, but that of a trusted proxy.
func TestMQTTIsToldTheClientsAddress(t *testing.T) {
	for _, c := range []struct {
		name, trusted, want string
	}{
		{"by default", "192.0.2.0/24", "127.0.0.1"},
		{"behind a trusted proxy", "127.0.0.0/8", "203.0.113.7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var told string
			f := setup(t, func(o *api.Options) {
				o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(c.trusted)}
				o.MQTT = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told = r.RemoteAddr })
			})
			f.do(t, request{path: "/mqtt", header: http.Header{"X-Forwarded-For": {"10.0.0.1, 203.0.113.7"}}})
			f.stop()
			if host, _, err := net.SplitHostPort(told); err != nil || host != c.want {
				t.Errorf("told %q, want %s", told, c.want)
			}
		})
	}
}

// What is published by REST counts as by MQTT: one more than is allowed is refused,
// is told when to come again, and nothing of it is stored; reading is free.
func TestTooFast(t *testing.T) {
	const most = 3
	taken := 0
	f := setup(t, func(o *api.Options) {
		o.TakePublish = func(who parley.Identity, from netip.Addr) time.Duration {
			if who.User == "" || from != netip.MustParseAddr("127.0.0.1") {
				t.Errorf("%q publishes from %s", who.User, from)
			}
			if taken == most {
				return 1500 * time.Millisecond
			}
			taken++
			return 0
		}
	})
	path := messagesPath("cnv_fast")
	for range most {
		f.expect(t, f.post(t, f.visitor, path, draft("hello")), http.StatusCreated)
	}
	for _, p := range []string{path, "/v1/conversations/cnv_fast/marks", "/v1/conversations/cnv_fast/claim", "/v1/conversations/cnv_fast/close", "/v1/me/registers"} {
		r := f.post(t, f.visitor, p, draft("too fast"))
		problem := expectProblem(t, r, http.StatusTooManyRequests, parley.CodeRateLimited)
		if r.header.Get("Retry-After") != "2" || problem.RetryAfter != 2 {
			t.Errorf("%s: to be tried again after %q and %d seconds, want 2", p, r.header.Get("Retry-After"), problem.RetryAfter)
		}
	}
	r := f.get(t, f.visitor, path)
	f.expect(t, r, http.StatusOK)
	if strings.Contains(string(r.body), "too fast") {
		t.Error("what was refused is stored")
	}
}

func TestWebSocketIsHandedOver(t *testing.T) {
	f := setup(t, func(o *api.Options) {
		o.MQTT = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Errorf("hijack: %v", err)
				return
			}
			defer conn.Close()
			fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\n\r\nhello")
			if err := rw.Flush(); err != nil {
				t.Errorf("write: %v", err)
			}
		})
	})
	conn := must(net.Dial("tcp", strings.TrimPrefix(f.url, "http://")))(t)
	defer conn.Close()
	fmt.Fprintf(conn, "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	answer := must(io.ReadAll(bufio.NewReader(conn)))(t)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 101") || !strings.HasSuffix(string(answer), "hello") {
		t.Errorf("answer %q", answer)
	}
	expectProblem(t, f.post(t, f.visitor, "/mqtt", nil), http.StatusMethodNotAllowed, parley.CodeInvalid)
}
