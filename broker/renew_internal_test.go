package broker

import (
	"testing"
	"time"

	"github.com/parley-chat/parley"
)

// A token that is renewed in the moment in which it ends keeps the connection, or ends
// it without an acknowledgement of the new one.
func TestRenewalInTheLastMoment(t *testing.T) {
	now := time.Now()
	who := parley.Identity{Site: "ste_a", User: "vis_a", Device: "dev_a", Role: parley.RoleVisitor}
	for name, c := range map[string]struct {
		renewedFirst bool
	}{"renewed first": {true}, "ended first": {false}} {
		t.Run(name, func(t *testing.T) {
			s := &session{broker: New(Options{}), who: who, device: who.DeviceKey(), version: 5}
			s.pump = newPump(s, 1, 1)
			defer s.stopExpiring()
			first, second := now.Add(time.Hour), now.Add(2*time.Hour)
			s.expireAt(first)
			if c.renewedFirst {
				if !s.expireAt(second) || s.expire(first) {
					t.Error("the old token ends the connection although there is a new one")
				}
			} else if !s.expire(first) || s.expireAt(second) {
				t.Error("a token is taken on a connection that ends")
			}
		})
	}
}
