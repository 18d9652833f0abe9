package api

import (
	"bytes"
	"math"
	"os"
	"strconv"
	"strings"
)

// ticks is how many clock ticks of /proc are a second, on every Linux that Go runs on.
const ticks = 100

// processSamples reads what the system says about the process. What cannot be read is
// left out.
func processSamples() []Sample {
	var samples []Sample
	add := func(name, help string, value float64) {
		samples = append(samples, Sample{Name: name, Help: help, Counter: strings.HasSuffix(name, "_total"), Value: value})
	}
	if fields := procStat("self"); len(fields) > 21 {
		add("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", (fields[11]+fields[12])/ticks)
		add("process_virtual_memory_bytes", "Virtual memory size in bytes.", fields[20])
		add("process_resident_memory_bytes", "Resident memory size in bytes.", fields[21]*float64(os.Getpagesize()))
		if booted, ok := bootTime(); ok {
			add("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", booted+fields[19]/ticks)
		}
	}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		add("process_open_fds", "Number of open file descriptors.", float64(len(files)))
	}
	if most, ok := limit("Max open files"); ok {
		add("process_max_fds", "Maximum number of open file descriptors.", most)
	}
	if most, ok := limit("Max address space"); ok {
		add("process_virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes.", most)
	}
	if in, out, ok := octets(); ok {
		add("process_network_receive_bytes_total", "Number of bytes received in the process' network.", in)
		add("process_network_transmit_bytes_total", "Number of bytes sent in the process' network.", out)
	}
	return samples
}

// procStat returns the fields of a process behind its name, which may be anything: the
// first is 0 in place of the state.
func procStat(process string) []float64 {
	data, err := os.ReadFile("/proc/" + process + "/stat")
	if err != nil {
		return nil
	}
	var fields []float64
	for _, word := range bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:]) {
		n, _ := strconv.ParseFloat(string(word), 64) // 0 for the state
		fields = append(fields, n)
	}
	return fields
}

// bootTime returns when the system was started, in seconds of Unix time.
func bootTime() (seconds float64, ok bool) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	_, rest, ok := strings.Cut(string(data), "\nbtime ")
	line, _, _ := strings.Cut(rest, "\n")
	seconds, err = strconv.ParseFloat(line, 64)
	return seconds, ok && err == nil
}

// limit returns a soft limit of the process.
func limit(name string) (most float64, ok bool) {
	data, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return 0, false
	}
	_, rest, ok := strings.Cut(string(data), "\n"+name)
	words := strings.Fields(rest)
	if !ok || len(words) == 0 {
		return 0, false
	}
	if words[0] == "unlimited" {
		return math.MaxUint64, true
	}
	most, err = strconv.ParseFloat(words[0], 64)
	return most, err == nil
}

// octets returns how many bytes IP has carried for the process' network namespace.
func octets() (in, out float64, ok bool) {
	data, err := os.ReadFile("/proc/self/net/netstat")
	if err != nil {
		return 0, 0, false
	}
	var names []string
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "IpExt:" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		found := 0
		for i, name := range names[:min(len(names), len(words))] {
			n, err := strconv.ParseFloat(words[i], 64)
			switch {
			case err != nil:
			case name == "InOctets":
				in, found = n, found+1
			case name == "OutOctets":
				out, found = n, found+1
			}
		}
		return in, out, found == 2
	}
	return 0, 0, false
}
