package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Sample is one number of a room's Stats, as Prometheus shows it.
type Sample struct {
	Name    string // "parley_…", with its unit; counters end in "_total"
	Help    string
	Counter bool // it only grows; otherwise it is a gauge
	Labels  map[string]string
	Value   float64
}

// metrics holds what /metrics shows: our own registry, not the global one.
type metrics struct {
	registry *prometheus.Registry
	duration *prometheus.HistogramVec
}

func newMetrics(samples []func() []Sample) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "parley_http_request_duration_seconds",
			Help:    "HTTP requests by method, route template and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route", "status"}),
	}
	m.registry.MustRegister(m.duration, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, read := range samples {
		m.registry.MustRegister(sampler(read))
	}
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// observe counts a request. The duration of a WebSocket or of a tunnel's down
// stream is its life, not our speed.
func (m *metrics) observe(method, route string, status int, took time.Duration) {
	if lasting(route) {
		return
	}
	if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions}, method) {
		method = "other" // strangers invent methods
	}
	m.duration.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}

// sampler makes a Prometheus collector of a function that reads Stats.
type sampler func() []Sample

// Describe sends nothing: which samples there are is known when they are read.
func (sampler) Describe(chan<- *prometheus.Desc) {}

// Collect sends the present samples.
func (s sampler) Collect(out chan<- prometheus.Metric) {
	for _, x := range s() {
		kind := prometheus.GaugeValue
		if x.Counter {
			kind = prometheus.CounterValue
		}
		desc := prometheus.NewDesc(x.Name, x.Help, nil, x.Labels)
		metric, err := prometheus.NewConstMetric(desc, kind, x.Value)
		if err != nil {
			metric = prometheus.NewInvalidMetric(desc, err)
		}
		out <- metric
	}
}
