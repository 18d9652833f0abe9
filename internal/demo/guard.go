package demo

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
)

// guard lets in only what a browser on this machine asks for on behalf of our
// own page. Other pages can make a browser send requests here, also under a name
// of theirs that they point at 127.0.0.1 (DNS rebinding); they cannot choose
// Host and Origin.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fromLoopback(r) || !loopbackHost(r.Host) {
			http.Error(w, "only for this machine", http.StatusForbidden)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !fromOwnPage(r) {
			http.Error(w, "only for the demo page", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func fromLoopback(r *http.Request) bool {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && addr.Addr().Unmap().IsLoopback()
}

// loopbackHost reports whether the Host header names this machine in a way that
// nobody else can point elsewhere. The port may be that of a tunnel.
func loopbackHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	return err == nil && slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, name)
}

// fromOwnPage reports whether a script of the page sent the request. Every
// browser sends Origin with a POST, and a form of another page cannot send JSON.
func fromOwnPage(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	site := r.Header.Get("Sec-Fetch-Site")
	return err == nil && kind == "application/json" && r.Header.Get("Origin") == "http://"+r.Host &&
		(site == "" || site == "same-origin")
}
