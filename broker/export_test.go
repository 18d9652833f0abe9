package broker

import (
	"fmt"

	"github.com/parley-chat/parley"
)

// Held lists what the broker still keeps of connections, for tests that close
// them all and expect nothing.
func (b *Broker) Held() []string {
	h := b.hub
	h.mu.RLock()
	defer h.mu.RUnlock()
	var held []string
	for what, n := range map[string]int{
		"devices": len(h.devices), "users": len(h.users), "queues": len(h.queues), "streams": len(h.streams),
		"watches": len(h.watches), "listeners": len(h.listeners), "barred": len(h.barred), "presence": len(h.everybody) + len(h.somebody), "logins": b.logins.count(),
		"connections": int(b.stats.connected.Load()),
		"pending":     b.Pending(),
		"tunnels":     int(b.tunnels.count()), "addresses of tunnels": len(b.tunnels.networks),
	} {
		if n != 0 {
			held = append(held, fmt.Sprintf("%d %s", n, what))
		}
	}
	return held
}

// Pending counts the connections that have not logged in.
func (b *Broker) Pending() int {
	silent, waiting, working := b.gate.queued()
	return silent + waiting + working
}

// Working counts the logins at work.
func (b *Broker) Working() int {
	_, _, working := b.gate.queued()
	return working
}

// Subscribed counts the connections that a stream is delivered to.
func (b *Broker) Subscribed(stream parley.Stream) int {
	b.hub.mu.RLock()
	defer b.hub.mu.RUnlock()
	return len(b.hub.streams[stream])
}

// Following counts a device's subscriptions once all of them deliver.
func (b *Broker) Following(device string) int {
	b.hub.mu.RLock()
	s, ok := b.hub.devices[device]
	b.hub.mu.RUnlock()
	if !ok {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attaching > 0 {
		return 0
	}
	return len(s.filters)
}

// Sources counts the streams that are held for a device.
func (b *Broker) Sources(device string) int {
	b.hub.mu.RLock()
	defer b.hub.mu.RUnlock()
	sources, _ := b.hub.devices[device].pump.all()
	return len(sources)
}

// Position is the server time up to which the log has been followed.
func (b *Broker) Position() int64 { return b.hub.position.Load() }

// Logins counts the logins of a device that have their turn or wait for it.
func (b *Broker) Logins(device string) int {
	b.logins.mu.Lock()
	defer b.logins.mu.Unlock()
	if l, ok := b.logins.locks[device]; ok {
		return l.users
	}
	return 0
}

func (d *deviceLocks) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.locks)
}
