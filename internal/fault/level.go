package fault

import (
	"context"
	"math"
	"slices"
	"time"
)

// sample is how much a server uses at a moment of its life.
type sample struct {
	at   time.Duration // since the beginning of the run
	life int           // how often the server had been ended before
	uses [len(resources)]float64
}

// resources are what must not become more with the hours.
var resources = [...]struct{ name, metric, unit string }{
	{"RSS", "process_resident_memory_bytes", "MiB"},
	{"goroutines", "go_goroutines", ""},
	{"file descriptors", "process_open_fds", ""},
}

// watch takes samples until ctx ends.
func (h *hours) watch(ctx context.Context) {
	for sleep(ctx, sampleEvery) == nil {
		h.mu.Lock()
		s := sample{at: time.Since(h.began), life: h.life}
		h.mu.Unlock()
		uses, err := h.uses(ctx)
		if err != nil {
			continue // the server is being ended
		}
		s.uses = uses
		h.samples = append(h.samples, s)
	}
}

func (h *hours) uses(ctx context.Context) (uses [len(resources)]float64, err error) {
	for i, r := range resources {
		if uses[i], err = h.metric(ctx, r.metric); err != nil {
			return uses, err
		}
		if r.unit == "MiB" {
			uses[i] /= mib
		}
	}
	return uses, nil
}

const (
	levelLimit = 5    // percent that a minute may be away from the median of all
	warmUp     = 6    // the first sixth of a life does not count
	ofLevel    = 60.0 // seconds of which the median is taken
)

// level tells how far the minutes of the server's longest life are from their
// median, and how far the last quarter is above the first.
func (r *Result) level(samples []sample) {
	r.samples = samples
	longest := longestLife(samples)
	for i, resource := range resources {
		minutes := minutesOf(longest, i)
		if len(minutes) < 4 {
			continue // too short to tell
		}
		m, far := median(minutes), 0.0
		for _, v := range minutes {
			far = max(far, math.Abs(v/m-1)*100)
		}
		quarter := len(minutes) / 4
		drift := (median(minutes[len(minutes)-quarter:])/median(minutes[:quarter]) - 1) * 100
		r.measure(resource.name, m, resource.unit, 0)
		r.measure(resource.name+" away from that at most", far, "%", levelLimit)
		r.measure(resource.name+" last quarter above first", drift, "%", levelLimit)
	}
}

// longestLife returns the samples of the server's longest life, after its warm-up.
func longestLife(samples []sample) []sample {
	var longest []sample
	for len(samples) > 0 {
		n := slices.IndexFunc(samples, func(s sample) bool { return s.life != samples[0].life })
		if n < 0 {
			n = len(samples)
		}
		if n > len(longest) {
			longest = samples[:n]
		}
		samples = samples[n:]
	}
	return longest[len(longest)/warmUp:]
}

// minutesOf returns the median of each minute.
func minutesOf(samples []sample, resource int) []float64 {
	var all, minute []float64
	for i, s := range samples {
		minute = append(minute, s.uses[resource])
		if i+1 == len(samples) || int(samples[i+1].at.Seconds()/ofLevel) != int(s.at.Seconds()/ofLevel) {
			all = append(all, median(minute))
			minute = minute[:0]
		}
	}
	return all
}

// median needs one value at least.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
