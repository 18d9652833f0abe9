package demo

import (
	"bytes"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// newFront is what stands at the server's end of the cables: the device pages,
// and behind them the server itself. While the server is dead a device gets 502,
// as from any load balancer.
func (d *Demo) newFront() http.Handler {
	target := &url.URL{Scheme: "http", Host: d.options.HTTP}
	transport := &http.Transport{MaxIdleConnsPerHost: 16, ResponseHeaderTimeout: 30 * time.Second}
	d.onClose(transport.CloseIdleConnections)
	toServer := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // the server compares it with Origin
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ErrorLog:     slog.NewLogLogger(d.options.Logger.Handler(), slog.LevelDebug),
	}
	mux := http.NewServeMux()
	mux.Handle("/", toServer)
	mux.HandleFunc("GET /demo/device.json", d.serveDevice)
	mux.Handle("GET /demo/", d.files(func(r *http.Request) string {
		return "default-src 'self'; img-src 'self' data: blob:; connect-src 'self' ws://" + r.Host + "; object-src 'none'; base-uri 'none'; " +
			"form-action 'self'; frame-ancestors " + strings.Join(d.pageOrigins(), " ")
	}))
	return guardHost(mux)
}

// guardHost refuses names that are not ours, see guard.
func guardHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopbackHost(r.Host) {
			http.Error(w, "only for this machine", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// deviceConfig tells a device page who it is and to whom it may talk.
type deviceConfig struct {
	Device   deviceName `json:"device"`
	Pages    []string   `json:"pages"` // origins of the demo page
	Site     string     `json:"site"`
	SiteKey  string     `json:"siteKey"`
	Email    string     `json:"email,omitempty"`
	Password string     `json:"password,omitempty"`
}

func (d *Demo) serveDevice(w http.ResponseWriter, r *http.Request) {
	o := d.options
	answer := deviceConfig{Pages: d.pageOrigins(), Site: o.Site, SiteKey: o.SiteKey}
	for _, c := range d.cables {
		if c.Addr() == r.Host {
			answer.Device = c.device
		}
	}
	if answer.Device == "" {
		http.NotFound(w, r)
		return
	}
	if answer.Device != deviceVisitor {
		answer.Email, answer.Password = o.Agents[0].Email, o.Agents[0].Password
	}
	writeJSON(w, answer)
}

// files serves the built demo files under a policy.
func (d *Demo) files(policy func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		body, err := fs.ReadFile(d.options.Pages, name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy(r))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store") // the demo of tomorrow may be another build on the same port
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
	})
}
