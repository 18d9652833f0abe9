package demo

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	const host = "127.0.0.1:8088"
	for _, test := range []struct {
		name    string
		method  string
		remote  string
		host    string
		headers map[string]string
		want    int
	}{
		{"the page", "GET", "127.0.0.1:5000", host, nil, 200},
		{"the page by name", "GET", "[::1]:5000", "localhost:8088", nil, 200},
		{"a button", "POST", "127.0.0.1:5000", host, map[string]string{"Origin": "http://" + host, "Sec-Fetch-Site": "same-origin"}, 200},
		{"a button through a tunnel", "POST", "127.0.0.1:5000", "localhost:9000", map[string]string{"Origin": "http://localhost:9000"}, 200},
		{"a rebound name", "GET", "127.0.0.1:5000", "evil.example:8088", nil, 403},
		{"a rebound name that posts", "POST", "127.0.0.1:5000", "evil.example:8088", map[string]string{"Origin": "http://evil.example:8088"}, 403},
		{"another machine", "GET", "192.0.2.7:5000", host, nil, 403},
		{"another page", "POST", "127.0.0.1:5000", host, map[string]string{"Origin": "https://evil.example"}, 403},
		{"another port of this machine", "POST", "127.0.0.1:5000", host, map[string]string{"Origin": "http://127.0.0.1:3000"}, 403},
		{"a sandboxed page", "POST", "127.0.0.1:5000", host, map[string]string{"Origin": "null"}, 403},
		{"no origin", "POST", "127.0.0.1:5000", host, nil, 403},
		{"a form", "POST", "127.0.0.1:5000", host, map[string]string{"Origin": "http://" + host, "Content-Type": "text/plain"}, 403},
		{"told to be cross-site", "POST", "127.0.0.1:5000", host, map[string]string{"Origin": "http://" + host, "Sec-Fetch-Site": "cross-site"}, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, "/demo/kill", strings.NewReader("{}"))
			r.RemoteAddr, r.Host = test.remote, test.host
			if test.method == http.MethodPost {
				r.Header.Set("Content-Type", "application/json")
			}
			for k, v := range test.headers {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
			if w.Code != test.want {
				t.Errorf("status %d, want %d", w.Code, test.want)
			}
		})
	}
}
