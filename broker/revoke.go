package broker

import "github.com/parley-chat/parley"

// Revoke ends the connections of those whose tokens have become void. A device
// that is logging in meanwhile is refused: its token is verified again when its
// connection is known here.
func (b *Broker) Revoke(r parley.Revocation) {
	b.revocations.Add(1) // before looking: who comes into the hub later sees it
	for _, s := range b.hub.of(r) {
		go s.disconnect(tokenExpired) // a slow reader must not hold up the others
	}
}

// of returns the connections that a revocation concerns.
func (h *hub) of(r parley.Revocation) []*session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var found []*session
	for s := range h.users[userKey(r.Site, r.User)] {
		if r.Device == "" || r.Device == s.who.Device {
			found = append(found, s)
		}
	}
	return found
}
