package api

import (
	"runtime"
	"runtime/debug"
	gometrics "runtime/metrics"
	"time"
)

// measure is a number of Go's runtime under the name by which dashboards know it: the
// sum of what runtime/metrics calls so.
type measure struct {
	name, help string
	counter    bool
	sources    []string
}

// measures are those that Prometheus' own library for Go shows.
func measures() []measure {
	const (
		objects, unused = "/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes"
		released, free  = "/memory/classes/heap/released:bytes", "/memory/classes/heap/free:bytes"
		mcache, mspan   = "/memory/classes/metadata/mcache/", "/memory/classes/metadata/mspan/"
		stacks, tiny    = "/memory/classes/heap/stacks:bytes", "/gc/heap/tiny/allocs:objects"
	)
	return []measure{
		{"go_goroutines", "Number of goroutines that currently exist.", false, []string{"/sched/goroutines:goroutines"}},
		{"go_sched_gomaxprocs_threads", "How many threads execute Go code at once.", false, []string{"/sched/gomaxprocs:threads"}},
		{"go_gc_gogc_percent", "GOGC.", false, []string{"/gc/gogc:percent"}},
		{"go_gc_gomemlimit_bytes", "GOMEMLIMIT.", false, []string{"/gc/gomemlimit:bytes"}},
		{"go_memstats_alloc_bytes", "Bytes of objects on the heap.", false, []string{objects}},
		{"go_memstats_alloc_bytes_total", "Bytes that were allocated on the heap.", true, []string{"/gc/heap/allocs:bytes"}},
		{"go_memstats_buck_hash_sys_bytes", "Bytes of the profiling bucket hash table.", false, []string{"/memory/classes/profiling/buckets:bytes"}},
		{"go_memstats_frees_total", "Objects that were freed.", true, []string{"/gc/heap/frees:objects", tiny}},
		{"go_memstats_gc_sys_bytes", "Bytes of the garbage collector's metadata.", false, []string{"/memory/classes/metadata/other:bytes"}},
		{"go_memstats_heap_alloc_bytes", "Bytes of objects on the heap.", false, []string{objects}},
		{"go_memstats_heap_idle_bytes", "Bytes of the heap that wait to be used.", false, []string{released, free}},
		{"go_memstats_heap_inuse_bytes", "Bytes of the heap that are in use.", false, []string{objects, unused}},
		{"go_memstats_heap_objects", "Objects on the heap.", false, []string{"/gc/heap/objects:objects"}},
		{"go_memstats_heap_released_bytes", "Bytes of the heap that the system has got back.", false, []string{released}},
		{"go_memstats_heap_sys_bytes", "Bytes of the heap, used or not.", false, []string{objects, unused, released, free}},
		{"go_memstats_mallocs_total", "Objects that were allocated.", true, []string{"/gc/heap/allocs:objects", tiny}},
		{"go_memstats_mcache_inuse_bytes", "Bytes of mcaches in use.", false, []string{mcache + "inuse:bytes"}},
		{"go_memstats_mcache_sys_bytes", "Bytes of mcaches.", false, []string{mcache + "inuse:bytes", mcache + "free:bytes"}},
		{"go_memstats_mspan_inuse_bytes", "Bytes of mspans in use.", false, []string{mspan + "inuse:bytes"}},
		{"go_memstats_mspan_sys_bytes", "Bytes of mspans.", false, []string{mspan + "inuse:bytes", mspan + "free:bytes"}},
		{"go_memstats_next_gc_bytes", "Bytes of the heap at which the next garbage collection ends.", false, []string{"/gc/heap/goal:bytes"}},
		{"go_memstats_other_sys_bytes", "Bytes of other things.", false, []string{"/memory/classes/other:bytes"}},
		{"go_memstats_stack_inuse_bytes", "Bytes of goroutines' stacks.", false, []string{stacks}},
		{"go_memstats_stack_sys_bytes", "Bytes of goroutines' and threads' stacks.", false, []string{stacks, "/memory/classes/os-stacks:bytes"}},
		{"go_memstats_sys_bytes", "Bytes that the system has given.", false, []string{"/memory/classes/total:bytes"}},
	}
}

// goSamples reads what Go's runtime says about itself.
func goSamples() []Sample {
	all := measures()
	var read []gometrics.Sample
	for _, m := range all {
		for _, source := range m.sources {
			read = append(read, gometrics.Sample{Name: source})
		}
	}
	gometrics.Read(read)
	var samples []Sample
	for _, m := range all {
		s := Sample{Name: m.name, Help: m.help, Counter: m.counter}
		for range m.sources {
			if read[0].Value.Kind() == gometrics.KindUint64 {
				s.Value += float64(read[0].Value.Uint64())
			}
			read = read[1:]
		}
		samples = append(samples, s)
	}
	threads, _ := runtime.ThreadCreateProfile(nil)
	return append(samples,
		Sample{Name: "go_threads", Help: "Number of OS threads created.", Value: float64(threads)},
		Sample{Name: "go_info", Help: "Information about the Go environment.", Labels: map[string]string{"version": runtime.Version()}, Value: 1})
}

// gcPauses shows how long garbage collections have stopped everything.
func gcPauses(e *exposition) {
	stats := debug.GCStats{PauseQuantiles: make([]time.Duration, 5)}
	debug.ReadGCStats(&stats)
	f := e.family("go_gc_duration_seconds", "How long everything stood still in garbage collections.", "summary")
	for i, quantile := range []string{"0", "0.25", "0.5", "0.75", "1"} {
		f.line("", map[string]string{"quantile": quantile}, stats.PauseQuantiles[i].Seconds())
	}
	f.line("_sum", nil, stats.PauseTotal.Seconds())
	f.line("_count", nil, float64(stats.NumGC))
	last := 0.0
	if !stats.LastGC.IsZero() {
		last = float64(stats.LastGC.UnixNano()) / 1e9
	}
	e.sample(Sample{Name: "go_memstats_last_gc_time_seconds", Help: "Unix time of the last garbage collection.", Value: last})
}
