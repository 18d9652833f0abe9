//go:build fault

package crash

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Setting is the environment variable that arms one point, as "point:n": the
// n-th pass of it kills the process. Passes are counted from 1.
const Setting = "PARLEY_CRASH_AT"

type armed struct {
	point Point
	left  atomic.Int64
}

// arm reads the setting once. A process has one fate, which is why this is the
// package's own.
var arm = sync.OnceValue(func() *armed {
	point, pass, _ := strings.Cut(os.Getenv(Setting), ":")
	n, err := strconv.ParseInt(pass, 10, 64)
	if err != nil || n < 1 {
		n = 1
	}
	a := &armed{point: Point(point)}
	a.left.Store(n)
	return a
})

// At kills the process with SIGKILL if p is armed and this is the pass that was
// asked for. Nothing is flushed, no deferred call runs.
func At(p Point) {
	a := arm()
	if a.point != p || a.left.Add(-1) != 0 {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

// Next reports whether the next At of p kills the process: what must be half
// done then can be done by halves.
func Next(p Point) bool {
	a := arm()
	return a.point == p && a.left.Load() == 1
}
