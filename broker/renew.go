package broker

import (
	"context"
	"encoding/json"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// maxAuthBytes bounds the payload that brings a renewed token.
const maxAuthBytes = 16 << 10

// renewal is a renewed token as a device sends it. It is never stored or logged.
type renewal struct {
	Token string `json:"token"`
}

func decodeRenewal(payload []byte) (renewal, error) {
	var r renewal
	if len(payload) > maxAuthBytes || json.Unmarshal(payload, &r) != nil || r.Token == "" {
		return renewal{}, parley.Errorf(parley.CodeInvalid, `the payload is {"token": "…"}, of at most %d bytes`, maxAuthBytes)
	}
	return r, nil
}

// renew lets the connection last as long as a renewed token. false means that it
// has to end: its user is somebody else now, as far as rights go.
func (in *inbound) renew(pk *packets.Packet, r renewal) bool {
	s := in.session
	ctx, cancel := context.WithTimeout(s.pump.ctx, sessionTime)
	defer cancel()
	who, err := s.broker.options.Auth.Verify(ctx, r.Token)
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
