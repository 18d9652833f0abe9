package broker_test

import (
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// While messages pour in, a device is signed out: its connections end, at once and
// with the reason, and it gets nothing more; nor does it come back for what waits.
func TestSignedOutDeviceGetsNothingMore(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		visitor, agent := w.visitor(), w.agent("lilei")
		id := w.conversation(visitor, 1)
		w.claim(agent, id)
		out, other := w.resume(t, agent, version), w.connect(t, w.agent("lilei"), version)
		out.followMessages()
		other.followMessages()
		flood := make(chan struct{})
		go func() {
			defer close(flood)
			for range 300 {
				w.record(visitor, id, draft())
			}
		}()
		out.expectEntry(out.messagesTopic(id))
		must(t, w.access.SignOut(t.Context(), agent.Identity))
		out.expectDisconnect(packets.ErrNotAuthorized)
		<-flood
		other.expectTexts(id, w.texts(id)[1:]) // and still gets everything
		if _, ack := w.try(t, as(agent, version).persistent()); ack.ReasonCode == 0 {
			t.Error("comes back with a void token")
		}
		if n := len(w.texts(id)); n != 301 {
			t.Errorf("%d messages", n)
		}
	})
}

// A device that is logging in while it is signed out does not slip through.
func TestSignOutDuringLogin(t *testing.T) {
	w := newWorld(t)
	for range 50 {
		who := w.visitor()
		c := open(t, w.dial(t), 5)
		c.send(as(who, 5).packet())
		must(t, w.access.SignOut(t.Context(), who.Identity))
		c.expectEnd()
	}
	awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
	if _, err := w.access.Verify(t.Context(), w.visitor().Token); err != nil {
		t.Errorf("a new visitor: %v", err)
	}
}
