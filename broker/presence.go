package broker

import (
	"strings"
	"sync"
	"time"
)

// presence knows who is online: users with a device that is connected, and for a
// moment those whose last one has just gone, since most come back at once. It
// lives as long as the process: after a restart everybody is away until they
// connect again.
type presence struct {
	grace   time.Duration
	changed func(user string) // told without the lock, by user key

	mu     sync.Mutex
	online map[string]*whereabouts // by user key
	closed bool
}

// whereabouts are those of one user.
type whereabouts struct {
	devices map[string]int // connections by device key: a takeover has two for a moment
	since   int64          // when the first device came, Unix milliseconds
	leaving *time.Timer    // runs while there is no device
}

// standing is what others are told of a user.
type standing struct {
	User    string `json:"user"`
	Online  bool   `json:"online"`
	Devices int    `json:"devices"`
	Since   int64  `json:"since,omitempty"`
}

func newPresence(grace time.Duration, changed func(user string)) *presence {
	return &presence{grace: grace, changed: changed, online: map[string]*whereabouts{}}
}

// came counts a connection of a device.
func (p *presence) came(user, device string) {
	p.mu.Lock()
	w, ok := p.online[user]
	if !ok {
		w = &whereabouts{devices: map[string]int{}, since: time.Now().UnixMilli()}
		p.online[user] = w
	}
	if w.leaving != nil {
		w.leaving.Stop()
		w.leaving = nil
	}
	w.devices[device]++
	news := w.devices[device] == 1
	p.mu.Unlock()
	if news {
		p.changed(user)
	}
}

// left takes it back.
func (p *presence) left(user, device string) {
	p.mu.Lock()
	w := p.online[user]
	if w.devices[device]--; w.devices[device] > 0 {
		p.mu.Unlock()
		return
	}
	delete(w.devices, device)
	last := len(w.devices) == 0
	if last {
		w.leaving = time.AfterFunc(p.grace, func() { p.gone(user, w) })
		if p.closed {
			w.leaving.Stop()
		}
	}
	p.mu.Unlock()
	if !last {
		p.changed(user)
	}
}

// gone forgets a user who has not come back.
func (p *presence) gone(user string, w *whereabouts) {
	p.mu.Lock()
	away := p.online[user] == w && len(w.devices) == 0
	if away {
		delete(p.online, user)
	}
	p.mu.Unlock()
	if away {
		p.changed(user)
	}
}

// of returns what others are told of a user.
func (p *presence) of(user string) standing {
	_, id, _ := strings.Cut(user, "/")
	p.mu.Lock()
	defer p.mu.Unlock()
	w, ok := p.online[user]
	if !ok {
		return standing{User: id}
	}
	return standing{User: id, Online: true, Devices: max(len(w.devices), 1), Since: w.since}
}

// everybody returns the user keys of a site that are online.
func (p *presence) everybody(site string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var users []string
	for user := range p.online {
		if of, _, _ := strings.Cut(user, "/"); of == site {
			users = append(users, user)
		}
	}
	return users
}

// close stops the timers.
func (p *presence) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, w := range p.online {
		if w.leaving != nil {
			w.leaving.Stop()
		}
	}
}
