package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/parley-chat/parley"
)

// Files that the server knows by name.
const (
	widgetFile    = "widget.js"
	widgetTexts   = "widget-zh.json" // what the widget says to those who do not speak English
	tunnelFile    = "tunnel.js"      // what the widget loads where there can be no WebSocket
	filesFile     = "files.js"       // what the widget loads when it is opened, for attachments
	agentFolder   = "agent/"
	agentIndex    = "agent/index.html"
	notBuiltFile  = "make-run.html"
	hashedFolder  = "agent/assets/" // the bundler puts a hash of the content into these names
	minGzipLength = 1024
)

// asset is a file in memory.
type asset struct {
	body    []byte
	gzipped []byte // nil where it does not pay
	kind    string // Content-Type
	tag     string // of body, without quotes
}

// pages serves the web files. It reads them once: they are a few hundred
// kilobytes, and part of the binary.
type pages struct {
	assets         map[string]asset
	built          bool
	frameAncestors string
	notBuiltStyle  string // CSP source of the style inside notBuiltFile
}

func newPages(files fs.FS, frameAncestors []string) (*pages, error) {
	p := &pages{assets: make(map[string]asset), frameAncestors: strings.Join(append([]string{"'self'"}, frameAncestors...), " ")}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		p.assets[name], err = newAsset(name, body)
		return err
	})
	_, p.built = p.assets[agentIndex]
	p.notBuiltStyle = styleSource(p.assets[notBuiltFile].body)
	return p, err
}

func newAsset(name string, body []byte) (asset, error) {
	kind := contentType(name)
	sum := sha256.Sum256(body)
	a := asset{body: body, kind: kind, tag: hex.EncodeToString(sum[:12])}
	text := strings.HasPrefix(kind, "text/") || strings.Contains(kind, "json") || strings.Contains(kind, "svg")
	if !text || len(body) < minGzipLength {
		return a, nil
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(body); err != nil {
		return a, fmt.Errorf("compress %s: %w", name, err)
	}
	if err := z.Close(); err != nil {
		return a, fmt.Errorf("compress %s: %w", name, err)
	}
	a.gzipped = zipped.Bytes()
	return a, nil
}

// contentType knows what bundlers write. The machine's own table of types is not
// asked: it differs from one to the next.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".json", ".map":
		return "application/json"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".webp":
		return "image/webp"
	case ".ico":
		return "image/x-icon"
	case ".woff2":
		return "font/woff2"
	}
	return "application/octet-stream"
}

// styleSource returns the CSP source that allows the one style element of page.
func styleSource(page []byte) string {
	_, rest, _ := bytes.Cut(page, []byte("<style>"))
	style, _, ok := bytes.Cut(rest, []byte("</style>"))
	if !ok {
		return ""
	}
	sum := sha256.Sum256(style)
	return " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (s *Server) routePages(p *pages) {
	methods := []string{http.MethodGet, http.MethodHead}
	s.public.Match(methods, "/", p.whenBuilt(func(c echo.Context) error {
		return c.Redirect(http.StatusFound, "/agent/")
	}))
	s.public.Match(methods, "/agent", p.whenBuilt(func(c echo.Context) error {
		return c.Redirect(http.StatusMovedPermanently, "/agent/")
	}))
	s.public.Match(methods, "/agent/*", p.whenBuilt(p.serveAgent))
	for _, name := range []string{widgetFile, widgetTexts, tunnelFile, filesFile} {
		s.public.Match(methods, "/"+name, p.whenBuilt(p.serveScript(name)))
	}
}

// whenBuilt answers every page with how to build them, as long as they are not.
func (p *pages) whenBuilt(next echo.HandlerFunc) echo.HandlerFunc {
	if p.built {
		return next
	}
	return func(c echo.Context) error {
		p.setPolicy(c, p.notBuiltStyle)
		c.Response().Header().Set("Cache-Control", "no-store")
		return c.HTMLBlob(http.StatusServiceUnavailable, p.assets[notBuiltFile].body)
	}
}

// serveScript serves a script that other people's pages load, or what it loads.
func (p *pages) serveScript(name string) echo.HandlerFunc {
	a, ok := p.assets[name]
	return func(c echo.Context) error {
		if !ok {
			return echo.ErrNotFound
		}
		h := c.Response().Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		return serveAsset(c, a, "public, max-age=300")
	}
}

// serveAgent serves the agents' page. A path that names no file is a place
// inside the page, which finds its way itself.
func (p *pages) serveAgent(c echo.Context) error {
	name := agentFolder + c.Param("*")
	a, ok := p.assets[name]
	switch {
	case ok && strings.HasPrefix(name, hashedFolder):
		return serveAsset(c, a, "public, max-age=31536000, immutable")
	case ok && name != agentIndex:
		return serveAsset(c, a, "no-cache")
	case path.Ext(name) != "" && name != agentIndex:
		return parley.Errorf(parley.CodeNotFound, "there is nothing at this path")
	}
	p.setPolicy(c, "")
	return serveAsset(c, p.assets[agentIndex], "no-cache")
}

func serveAsset(c echo.Context, a asset, cache string) error {
	h := c.Response().Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", cache)
	body, tag := a.body, a.tag
	if a.gzipped != nil {
		h.Add("Vary", "Accept-Encoding")
		if strings.Contains(c.Request().Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body, tag = a.gzipped, a.tag+"-gzip"
		}
	}
	h.Set("ETag", `"`+tag+`"`)
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, bytes.NewReader(body))
	return nil
}

// setPolicy is the Content-Security-Policy of a page: nothing but ourselves.
// Older browsers do not count a WebSocket of this host as 'self'.
func (p *pages) setPolicy(c echo.Context, style string) {
	connect := "'self'"
	if host := c.Request().Host; plainHost(host) {
		connect += " ws://" + host + " wss://" + host
	}
	c.Response().Header().Set("Content-Security-Policy", strings.Join([]string{
		"default-src 'self'", "style-src 'self'" + style, "img-src 'self' data: blob:", "connect-src " + connect,
		"object-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors " + p.frameAncestors,
	}, "; "))
}

// plainHost keeps a Host header that is more than a name and a port out of the
// policy.
func plainHost(host string) bool {
	return host != "" && strings.IndexFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-.:[]", r))
	}) < 0
}
