package api

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Sample is one number of a room's Stats, as Prometheus shows it.
type Sample struct {
	Name    string // "parley_…", with its unit; counters end in "_total"
	Help    string
	Counter bool // it only grows; otherwise it is a gauge
	Labels  map[string]string
	Value   float64
}

// metrics holds what /metrics shows.
type metrics struct {
	read []func() []Sample

	mu       sync.Mutex
	requests map[requestKind]*histogram
}

func newMetrics(samples []func() []Sample) *metrics {
	return &metrics{read: samples, requests: map[requestKind]*histogram{}}
}

// handler writes everything in Prometheus' text format.
func (m *metrics) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var e exposition
		for _, read := range m.read {
			for _, s := range read() {
				e.sample(s)
			}
		}
		for _, s := range slices.Concat(goSamples(), processSamples()) {
			e.sample(s)
		}
		gcPauses(&e)
		m.exposeRequests(&e)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(e.text()) // who went away wants no error
	})
}

// requestKind is what requests are counted by. There are few: routes are templates.
type requestKind struct{ method, route, status string }

// histogram counts durations in seconds by the bounds that they do not exceed.
type histogram struct {
	buckets [len(bounds)]uint64 // not cumulative
	sum     float64
	count   uint64
}

var bounds = [...]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// observe counts a request. The duration of a WebSocket or of a tunnel's down
// stream is its life, not our speed.
func (m *metrics) observe(method, route string, status int, took time.Duration) {
	if lasting(route) {
		return
	}
	if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions}, method) {
		method = "other" // strangers invent methods
	}
	kind := requestKind{method, route, strconv.Itoa(status)}
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.requests[kind]
	if h == nil {
		h = &histogram{}
		m.requests[kind] = h
	}
	seconds := took.Seconds()
	h.sum += seconds
	h.count++
	if i, _ := slices.BinarySearch(bounds[:], seconds); i < len(bounds) {
		h.buckets[i]++
	}
}

func (m *metrics) exposeRequests(e *exposition) {
	const name = "parley_http_request_duration_seconds"
	m.mu.Lock()
	defer m.mu.Unlock()
	for kind, h := range m.requests {
		labels := func(le string) map[string]string {
			l := map[string]string{"method": kind.method, "route": kind.route, "status": kind.status}
			if le != "" {
				l["le"] = le
			}
			return l
		}
		f := e.family(name, "HTTP requests by method, route template and status.", "histogram")
		below := uint64(0)
		for i, bound := range bounds {
			below += h.buckets[i]
			f.line("_bucket", labels(number(bound)), float64(below))
		}
		f.line("_bucket", labels("+Inf"), float64(h.count))
		f.line("_sum", labels(""), h.sum)
		f.line("_count", labels(""), float64(h.count))
	}
}
