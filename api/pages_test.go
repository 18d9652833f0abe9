package api_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
	"github.com/parley-chat/parley/api/web"
)

// built is a web folder as `make web` leaves it.
func built() fs.FS {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	return fstest.MapFS{
		"tunnel.js":              file("// tunnel"),
		"files.js":               file("// files"),
		"widget.js":              file("// widget\n" + strings.Repeat("let a = 1;\n", 500)),
		"widget-zh.json":         file(`{"open": "打开"}`),
		"agent/index.html":       file("<!doctype html><title>agent</title>"),
		"agent/favicon.svg":      file("<svg/>"),
		"agent/assets/a-1234.js": file("// asset"),
		"secret.txt":             file("not served"),
		"make-run.html":          file("<style>a{}</style>"),
	}
}

func setupBuilt(t *testing.T) *fixture {
	t.Helper()
	return setup(t, func(o *api.Options) {
		o.Web, o.FrameAncestors = built(), []string{"http://127.0.0.1:7070"}
	})
}

func TestBuiltPages(t *testing.T) {
	f := setupBuilt(t)
	for path, want := range map[string]struct {
		status            int
		kind, cache, text string
	}{
		"/agent/":                       {200, "text/html; charset=utf-8", "no-cache", "agent"},
		"/agent/index.html":             {200, "text/html; charset=utf-8", "no-cache", "agent"},
		"/agent/conversations/cnv_1":    {200, "text/html; charset=utf-8", "no-cache", "agent"},
		"/agent/favicon.svg":            {200, "image/svg+xml", "no-cache", "<svg/>"},
		"/agent/assets/a-1234.js":       {200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "// asset"},
		"/agent/assets/gone-1234.js":    {404, "application/problem+json", "no-store", ""},
		"/agent/../secret.txt":          {404, "application/problem+json", "no-store", ""},
		"/agent/%2e%2e/secret.txt":      {404, "application/problem+json", "no-store", ""},
		"/secret.txt":                   {404, "application/problem+json", "no-store", ""},
		"/tunnel.js":                    {200, "text/javascript; charset=utf-8", "public, max-age=300", "// tunnel"},
		"/files.js":                     {200, "text/javascript; charset=utf-8", "public, max-age=300", "// files"},
		"/widget.js":                    {200, "text/javascript; charset=utf-8", "public, max-age=300", "// widget"},
		"/widget-zh.json":               {200, "application/json", "public, max-age=300", "打开"},
		"/make-run.html":                {404, "application/problem+json", "no-store", ""},
		"/agent/..%2fmake-run.html?a=b": {404, "application/problem+json", "no-store", ""},
	} {
		r := f.do(t, request{path: path, header: http.Header{"Accept-Encoding": {"identity"}}})
		if r.status != want.status || r.header.Get("Content-Type") != want.kind || r.header.Get("Cache-Control") != want.cache || !bytes.Contains(r.body, []byte(want.text)) {
			t.Errorf("%s: status %d, %v, %.60s", path, r.status, r.header, r.body)
		}
	}
	for path, status := range map[string]int{"/": http.StatusFound, "/agent": http.StatusMovedPermanently} {
		if r := f.do(t, request{path: path}); r.status != status || r.header.Get("Location") != "/agent/" {
			t.Errorf("%s: status %d to %q", path, r.status, r.header.Get("Location"))
		}
	}
	expectProblem(t, f.post(t, f.visitor, "/agent/", nil), http.StatusMethodNotAllowed, parley.CodeInvalid)
}

func TestPagePolicy(t *testing.T) {
	f := setupBuilt(t)
	policy := f.do(t, request{path: "/agent/"}).header.Get("Content-Security-Policy")
	host := strings.TrimPrefix(f.url, "http://")
	for _, want := range []string{"default-src 'self'", "connect-src 'self' ws://" + host + " wss://" + host, "frame-ancestors 'self' http://127.0.0.1:7070", "object-src 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("%q is missing in %q", want, policy)
		}
	}
	req := f.newRequest(t, request{path: "/agent/"})
	req.Host = "evil;script-src*"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return // refused before it reached us
	}
	defer res.Body.Close()
	if strings.Contains(res.Header.Get("Content-Security-Policy"), "evil") {
		t.Errorf("a Host header got into the policy %q", res.Header.Get("Content-Security-Policy"))
	}
}

func TestWidgetIsForEveryPage(t *testing.T) {
	f := setupBuilt(t)
	plain := f.do(t, request{path: "/widget.js", header: http.Header{"Origin": {"https://anywhere.example"}, "Accept-Encoding": {"identity"}}})
	if plain.header.Get("Access-Control-Allow-Origin") != "*" || plain.header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Errorf("headers %v", plain.header)
	}
	zipped := f.do(t, request{path: "/widget.js", header: http.Header{"Accept-Encoding": {"br, gzip"}}})
	unzipped := must(io.ReadAll(must(gzip.NewReader(bytes.NewReader(zipped.body)))(t)))(t)
	if !bytes.Equal(unzipped, plain.body) || len(zipped.body) >= len(plain.body) || zipped.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("compressed it is %d bytes %v", len(zipped.body), zipped.header)
	}
	if plain.header.Get("ETag") == zipped.header.Get("ETag") {
		t.Error("both encodings have the same tag")
	}
	again := f.do(t, request{path: "/widget.js", header: http.Header{"Accept-Encoding": {"gzip"}, "If-None-Match": {zipped.header.Get("ETag")}}})
	if again.status != http.StatusNotModified || len(again.body) != 0 {
		t.Errorf("unchanged, it is answered with %d and %d bytes", again.status, len(again.body))
	}
	head := f.do(t, request{method: http.MethodHead, path: "/widget.js"})
	f.expect(t, head, http.StatusOK)
	texts := f.do(t, request{path: "/widget-zh.json", header: http.Header{"Origin": {"https://anywhere.example"}}})
	if texts.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers %v", texts.header)
	}
}

func TestPagesThatAreNotBuiltSayHow(t *testing.T) {
	page := must(fs.ReadFile(web.Files(), "make-run.html"))(t)
	f := setup(t, func(o *api.Options) { o.Web = fstest.MapFS{"make-run.html": &fstest.MapFile{Data: page}} })
	for _, path := range []string{"/", "/agent", "/agent/", "/agent/assets/x.js", "/widget.js"} {
		r := f.do(t, request{path: path})
		if r.status != http.StatusServiceUnavailable || !bytes.Equal(r.body, page) {
			t.Errorf("%s: status %d", path, r.status)
		}
		_, rest, _ := bytes.Cut(page, []byte("<style>"))
		style, _, _ := bytes.Cut(rest, []byte("</style>"))
		sum := sha256.Sum256(style)
		if !strings.Contains(r.header.Get("Content-Security-Policy"), "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("%s: the page's style is not allowed by %q", path, r.header.Get("Content-Security-Policy"))
		}
	}
	for _, want := range []string{"make run", "网页"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := api.New(api.Options{}); err == nil {
		t.Error("a server without its parts was made")
	}
	for _, ancestor := range []string{"", "https://a.example; script-src *", "a b", "a\nb"} {
		f := setup(t, nil)
		_, err := api.New(api.Options{Log: f.bridge, Access: f.access, Ready: f.bridge.Ready, FrameAncestors: []string{ancestor}})
		if err == nil {
			t.Errorf("frame ancestor %q was accepted", ancestor)
		}
	}
}
