package api_test

import (
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/parley-chat/parley/api"
)

// parse reads the metrics as Prometheus does.
func (f *fixture) parse(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(f.scrape(t)))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// TestMetricsAreThoseOfPrometheus compares what is said of Go and the process with
// what Prometheus' own library says.
func TestMetricsAreThoseOfPrometheus(t *testing.T) {
	runtime.GC() // so that there was one
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	theirs, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ours := setup(t, nil).parse(t)
	// What hardly changes from one moment to the next.
	steady := []string{"go_info", "go_gc_gogc_percent", "go_gc_gomemlimit_bytes", "go_sched_gomaxprocs_threads", "go_memstats_mcache_sys_bytes",
		"process_max_fds", "process_virtual_memory_max_bytes", "process_start_time_seconds"}
	for _, want := range theirs {
		got := ours[want.GetName()]
		if got == nil || got.GetType() != want.GetType() || len(got.GetMetric()) != len(want.GetMetric()) {
			t.Errorf("%s is %v, want as many of %s", want.GetName(), got, want.GetType())
			continue
		}
		a, b := valueOf(got), valueOf(want)
		if slices.Contains(steady, want.GetName()) && math.Abs(a-b) > 1 {
			t.Errorf("%s is %v, want %v", want.GetName(), a, b)
		}
		if a > 100*b+1e6 || b > 100*a+1e6 {
			t.Errorf("%s is %v, far from %v", want.GetName(), a, b)
		}
	}
}

func valueOf(f *dto.MetricFamily) float64 {
	m := f.GetMetric()[0]
	return m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetSummary().GetSampleSum()
}

// TestExposition shows what has to be escaped and is no number, and counts requests.
func TestExposition(t *testing.T) {
	const odd = "a \"quoted\" \\ and\nbroken line"
	f := setup(t, func(o *api.Options) {
		o.Samples = []func() []api.Sample{func() []api.Sample {
			return []api.Sample{
				{Name: "parley_odd", Help: odd, Labels: map[string]string{"b": odd, "a": ""}, Value: math.Inf(1)},
				{Name: "parley_odd", Help: odd, Labels: map[string]string{"b": "", "a": "1"}, Value: math.NaN()},
				{Name: "parley_large", Help: "Large.", Value: 1 << 53},
			}
		}}
	})
	f.open(t, 3)
	f.stop() // requests are counted after their answer
	families := f.parse(t)
	family := families["parley_odd"]
	if family.GetHelp() != odd || len(family.GetMetric()) != 2 {
		t.Fatalf("%v", family)
	}
	first, second := family.GetMetric()[0], family.GetMetric()[1]
	if l := first.GetLabel(); len(l) != 2 || l[0].GetValue() != "" || l[1].GetValue() != odd || !math.IsInf(first.GetGauge().GetValue(), 1) {
		t.Errorf("%v", first)
	}
	if !math.IsNaN(second.GetGauge().GetValue()) {
		t.Errorf("%v", second)
	}
	if v := valueOf(families["parley_large"]); v != 1<<53 {
		t.Errorf("2^53 is %v", v)
	}
	for _, m := range families["parley_http_request_duration_seconds"].GetMetric() {
		h := m.GetHistogram()
		buckets := h.GetBucket()
		if len(buckets) != 14 || buckets[13].GetCumulativeCount() != h.GetSampleCount() || h.GetSampleSum() <= 0 {
			t.Fatalf("%v", m)
		}
		for i := range buckets[1:] {
			if buckets[i].GetCumulativeCount() > buckets[i+1].GetCumulativeCount() || buckets[i].GetUpperBound() >= buckets[i+1].GetUpperBound() {
				t.Errorf("bucket %d: %v", i, m)
			}
		}
	}
}
