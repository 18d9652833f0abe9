//go:build fault

package clock

import (
	"os"
	"strings"
	"sync"
	"time"
)

// Setting is the environment variable that names a file. What stands in it, such as
// "-1h", is how wrong the clock is; it can change at any time.
const Setting = "PARLEY_CLOCK"

// lookEvery is how soon a change is noticed.
const lookEvery = 5 * time.Millisecond

type wrong struct {
	file string

	mu     sync.Mutex
	looked time.Time
	by     time.Duration
}

// clock is read from the environment once. A machine has one clock, which is why
// this is the package's own.
var clock = sync.OnceValue(func() *wrong { return &wrong{file: os.Getenv(Setting)} })

// Now returns the time, as wrong as it is to be.
func Now() time.Time {
	now := time.Now()
	w := clock()
	if w.file == "" {
		return now
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.looked) >= lookEvery {
		w.looked = now
		if text, err := os.ReadFile(w.file); err == nil {
			if by, err := time.ParseDuration(strings.TrimSpace(string(text))); err == nil { // else it is being written
				w.by = by
			}
		}
	}
	return now.Add(w.by)
}
