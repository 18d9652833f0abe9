package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	maxReport  = 16 << 20 // bytes; a first report holds everything a device shows
	indexFile  = "demo/index.html"
	notBuilt   = "make-run.html"
	pageBeat   = time.Second            // how often the page is told at least
	pageLeast  = 100 * time.Millisecond // and how often at most
	headerTime = 5 * time.Second
)

// listen opens the ports, which the server has to know; servePages answers on
// them.
func (d *Demo) listen(ctx context.Context) (err error) {
	if d.page, err = listen(ctx, "page", d.options.Page); err != nil {
		return err
	}
	d.onClose(func() { d.page.Close() })
	d.pageURL = "http://" + d.page.Addr().String() + "/"
	if d.front, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("listen for the devices: %w", err)
	}
	d.onClose(func() { d.front.Close() })
	return d.layCables(ctx, d.front.Addr().String())
}

func (d *Demo) servePages(context.Context) error {
	d.serve("page", d.page, d.newPage())
	d.serve("devices", d.front, d.newFront())
	return nil
}

// serve runs an HTTP server until Close.
func (d *Demo) serve(name string, l net.Listener, h http.Handler) {
	life, stop := context.WithCancel(context.Background())
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, MaxHeaderBytes: 32 << 10,
		BaseContext: func(net.Listener) context.Context { return life },
		ErrorLog:    slog.NewLogLogger(d.options.Logger.Handler(), slog.LevelDebug),
	}
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.fail(fmt.Errorf("serve the %s: %w", name, err))
		}
	})
	d.onClose(func() {
		stop()
		_ = s.Close() // the listener may be closed already
		ended.Wait()
	})
}

// pageOrigins are the origins under which a browser may have the demo page.
func (d *Demo) pageOrigins() []string {
	_, port, _ := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(d.pageURL, "http://"), "/"))
	return []string{"http://127.0.0.1:" + port, "http://localhost:" + port}
}

func (d *Demo) newPage() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", d.serveIndex)
	mux.Handle("GET /demo/assets/", d.files(d.pagePolicy))
	mux.Handle("GET /demo/icon.svg", d.files(d.pagePolicy))
	mux.HandleFunc("GET /demo/config.json", d.serveConfig)
	mux.HandleFunc("GET /demo/events", d.serveEvents)
	mux.HandleFunc("POST /demo/runs", d.handleRun)
	mux.HandleFunc("POST /demo/report", d.handleReport)
	mux.HandleFunc("POST /demo/cable", d.handleCable)
	mux.HandleFunc("POST /demo/kill", d.handleKill)
	mux.HandleFunc("POST /demo/terminal", d.handleTerminal)
	return guard(mux)
}

func (d *Demo) pagePolicy(*http.Request) string {
	return "default-src 'self'; img-src 'self' data:; frame-src " + strings.Join(d.deviceOrigins(), " ") +
		"; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// serveIndex serves the demo page, or how to build it.
func (d *Demo) serveIndex(w http.ResponseWriter, r *http.Request) {
	if _, err := fs.Stat(d.options.Pages, indexFile); err == nil {
		d.files(d.pagePolicy).ServeHTTP(w, rename(r, indexFile))
		return
	}
	d.files(func(*http.Request) string { return "default-src 'none'; style-src 'unsafe-inline'" }).ServeHTTP(w, rename(r, notBuilt))
}

func rename(r *http.Request, file string) *http.Request {
	r = r.Clone(r.Context())
	r.URL.Path = "/" + file
	return r
}

func (d *Demo) serveConfig(w http.ResponseWriter, _ *http.Request) {
	type named struct {
		Name   deviceName `json:"name"`
		Origin string     `json:"origin"`
	}
	var answer struct {
		Devices []named `json:"devices"`
		Agent   string  `json:"agent"` // the agents' page without a demo around it
	}
	for _, c := range d.cables {
		answer.Devices = append(answer.Devices, named{c.device, c.origin()})
	}
	answer.Agent = d.agentPage()
	writeJSON(w, answer)
}

// handleRun begins the reports of a freshly loaded page. Of two pages open at
// once the newer one counts: their devices are the same.
func (d *Demo) handleRun(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Run string `json:"run"`
	}
	if readJSON(w, r, &request) {
		d.journal.begin(request.Run)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (d *Demo) handleReport(w http.ResponseWriter, r *http.Request) {
	var report report
	if !readJSON(w, r, &report) {
		return
	}
	switch err := d.journal.take(report); {
	case errors.Is(err, errSuperseded):
		http.Error(w, err.Error(), http.StatusGone)
	case errors.Is(err, errIncomplete):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (d *Demo) handleCable(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Device  deviceName `json:"device"`
		Plugged bool       `json:"plugged"`
	}
	if !readJSON(w, r, &request) {
		return
	}
	c := d.cable(request.Device)
	if c == nil {
		http.Error(w, "no such device", http.StatusNotFound)
		return
	}
	if request.Plugged {
		c.Heal()
	} else {
		c.Freeze()
	}
	d.news.tell()
	w.WriteHeader(http.StatusNoContent)
}

func (d *Demo) handleKill(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]int{"pid": d.server.kill()})
}

// handleTerminal answers a line to paste whose token is good for a while.
func (d *Demo) handleTerminal(w http.ResponseWriter, r *http.Request) {
	line, err := d.terminalLine(r.Context())
	if err != nil {
		http.Error(w, "the server is not there just now", http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, map[string]string{"line": line})
}

func readJSON(w http.ResponseWriter, r *http.Request, to any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxReport)).Decode(to); err != nil {
		http.Error(w, "not what was expected: "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // the browser may be gone
}
