package broker

import (
	"context"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// renew lets the connection last as long as a renewed token, which is never stored or
// logged. false means that it has to end: its user is somebody else now, as far as
// rights go.
func (in *inbound) renew(pk *packets.Packet, token string) bool {
	s := in.session
	ctx, cancel := context.WithTimeout(s.pump.ctx, sessionTime)
	defer cancel()
	who, err := s.broker.options.Auth.Verify(ctx, token)
	switch {
	case err != nil:
		return in.refuse(pk, parley.Errorf(parley.CodeUnauthenticated, "this token is not valid: get a new one"))
	case who.DeviceKey() != s.device:
		return in.refuse(pk, parley.Errorf(parley.CodeForbidden, "this token is another device's"))
	case who.Role != s.who.Role:
		s.disconnect(tokenExpired) // rights were decided with the old role: connecting again decides them anew
		return false
	}
	if !s.expireAt(who.Expires) {
		return false
	}
	in.acknowledge(s.acker.append(nil, pk.PacketID, packets.CodeSuccess, nil), 1)
	return true
}

// expireAt disconnects the device when its token ends, unless it has another one that
// lasts longer: a renewal may have been overtaken by a newer one. The zero time is
// never. false means that the token before has ended by now, and the connection with it.
func (s *session) expireAt(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.expired:
		return false
	case s.pump.ctx.Err() != nil, !t.IsZero() && t.Before(s.expiresAt): // of a connection that has ended nobody would stop the timer
		return true
	case s.expires != nil:
		s.expires.Stop()
	}
	s.expiresAt = t
	if t.IsZero() {
		return true
	}
	s.expires = time.AfterFunc(t.Sub(s.broker.options.Now()), func() {
		if s.expire(t) {
			s.disconnect(tokenExpired)
		}
	})
	return true
}

// expire reports whether the connection is to end with the token that ends at t. It is
// not when another token has come while the timer already ran out.
func (s *session) expire(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = s.expired || s.expiresAt.Equal(t)
	return s.expired
}

// stopExpiring releases the timer.
func (s *session) stopExpiring() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expires != nil {
		s.expires.Stop()
	}
}
