package access

import (
	"net/netip"
	"sync"
	"time"

	"github.com/parley-chat/parley"
)

const (
	failureWindow      = 15 * time.Minute
	failuresPerAccount = 10
	failuresPerIP      = 50
	// maxFailureKeys bounds the limiter's memory to about a megabyte.
	maxFailureKeys = 10_000
)

// failureLimiter counts failed sign-ins per account and per address, in this
// process only. An attempt counts as failed before it is made and is taken back
// if it was not, so that attempts in parallel cannot pass the limit together.
type failureLimiter struct {
	now func() time.Time

	mu      sync.Mutex
	windows map[string]failures
}

type failures struct {
	count int
	ends  time.Time
}

func newFailureLimiter(now func() time.Time) *failureLimiter {
	return &failureLimiter{now: now, windows: make(map[string]failures)}
}

// attempt is a sign-in under way.
type attempt struct {
	account string
	ip      string // empty: not known, not limited
}

func newAttempt(site, email, remoteIP string) attempt {
	return attempt{account: "account " + site + " " + email, ip: ipKey(remoteIP)}
}

// ipKey treats an IPv6 network of /64 as one address: that is what one
// subscriber gets.
func ipKey(remoteIP string) string {
	addr, err := netip.ParseAddr(remoteIP)
	if err != nil {
		return ""
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return "ip " + addr.String()
	}
	prefix, _ := addr.Prefix(64) // cannot fail for an IPv6 address
	return "ip " + prefix.String()
}

// take counts at as a failure, or refuses it.
func (l *failureLimiter) take(at attempt) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range []struct {
		key   string
		limit int
	}{{at.account, failuresPerAccount}, {at.ip, failuresPerIP}} {
		if w := l.window(k.key); k.key != "" && w.count >= k.limit {
			return tooManyFailures(w.ends.Sub(l.now()))
		}
	}
	l.add(at.account, 1)
	l.add(at.ip, 1)
	return nil
}

// giveBack undoes take: the attempt ended without an answer.
func (l *failureLimiter) giveBack(at attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(at.account, -1)
	l.add(at.ip, -1)
}

// succeeded forgets the account's failures. Those of the address stay, without
// this attempt: one good account must not wash away guesses at others.
func (l *failureLimiter) succeeded(at attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.windows, at.account)
	l.add(at.ip, -1)
}

func (l *failureLimiter) window(key string) failures {
	w, ok := l.windows[key]
	if !ok || !l.now().Before(w.ends) {
		return failures{ends: l.now().Add(failureWindow)}
	}
	return w
}

func (l *failureLimiter) add(key string, n int) {
	if key == "" {
		return
	}
	w := l.window(key)
	w.count += n
	if w.count <= 0 {
		delete(l.windows, key)
		return
	}
	if _, ok := l.windows[key]; !ok && len(l.windows) >= maxFailureKeys {
		l.makeRoom()
	}
	l.windows[key] = w
}

// makeRoom drops what has ended, or else the window that ends first.
func (l *failureLimiter) makeRoom() {
	var first string
	for key, w := range l.windows {
		if !l.now().Before(w.ends) {
			delete(l.windows, key)
			continue
		}
		if first == "" || w.ends.Before(l.windows[first].ends) {
			first = key
		}
	}
	if len(l.windows) >= maxFailureKeys {
		delete(l.windows, first)
	}
}

func tooManyFailures(after time.Duration) error {
	return parley.Limited(after, "too many failed sign-ins; try again in %d minutes", int((after+time.Minute-1)/time.Minute))
}
