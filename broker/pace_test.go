package broker_test

import (
	"testing"
	"time"

	"github.com/parley-chat/parley/broker"
)

// Who publishes too fast is slowed down, on all devices together; nothing is
// refused, nothing is lost, and nobody else waits.
func TestFloodIsSlowedDown(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t, func(o *broker.Options) { o.PublishLimit = 40 })
		who, other := w.visitor(), w.visitor()
		id, quiet := w.conversation(who, 0), w.conversation(other, 0)
		one, two := w.connect(t, who, version), w.connect(t, w.again(who), version)
		bystander := w.connect(t, other, version)
		begin := time.Now()
		for range 24 {
			one.post(id, draft())
			two.post(id, draft())
		}
		bystander.expectAck(bystander.post(quiet, draft()))
		if n := len(w.texts(id)); n == 48 {
			t.Error("somebody else has waited, too")
		}
		one.ping() // is answered while the publishes wait
		awaitCount(t, "messages", 48, func() int64 { return int64(len(w.texts(id))) })
		if took := time.Since(begin); took < 1900*time.Millisecond {
			t.Errorf("8 above the limit have waited for %v, want 2 s", took)
		}
		if w.broker.Stats().Slowed == 0 {
			t.Error("not counted")
		}
	})
}
