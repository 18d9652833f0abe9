package broker_test

import (
	"slices"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// expectGone takes the empty state that tells that a conversation is out of sight.
func (c *client) expectGone(conversation string) {
	c.t.Helper()
	c.await("an empty state of "+conversation, func(pk packets.Packet) bool {
		return on(pk, c.stateTopic(conversation)) && len(pk.Payload) == 0
	})
}

// A slow device is not told of a conversation, after it was taken by somebody else,
// that it still waits in the queue.
func TestTakenBeforeTheQueueWasTold(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		slow, other := w.agent("lilei"), w.agent("hanmeimei")
		l := as(slow, version)
		l.hold = true
		c := w.connectWith(t, slow, l)
		c.follow(c.stateTopic("+"))
		visitor := w.visitor()
		var all []string
		for range 60 { // more than it takes unacknowledged
			all = append(all, w.conversation(visitor, 1))
		}
		for _, id := range all {
			w.claim(other, id)
		}
		last := w.conversation(visitor, 1) // which comes behind all that waited
		await(t, func() string {
			c.mu.Lock()
			n := len(c.unacked)
			c.mu.Unlock()
			c.acknowledge(n)
			c.mu.Lock()
			defer c.mu.Unlock()
			told := map[string]bool{} // whether the last it was told is that it waits
			for _, pk := range c.inbox {
				for _, id := range all {
					if on(pk, c.stateTopic(id)) {
						told[id] = len(pk.Payload) > 0
					}
				}
			}
			for id, queued := range told {
				if queued {
					return "the last it was told of " + id + " is that it waits"
				}
			}
			if !slices.ContainsFunc(c.inbox, func(pk packets.Packet) bool { return on(pk, c.stateTopic(last)) }) {
				return "it was not told of the last one"
			}
			return ""
		})
	})
}

// A device that resumes its session is told that a conversation is out of sight
// that it knows from the connection before.
func TestTakenAfterResuming(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who, other := w.agent("lilei"), w.agent("hanmeimei")
		id := w.conversation(w.visitor(), 1)
		w.later.Store(int64(time.Hour)) // what happened so long ago is not looked at again
		newer := w.conversation(w.visitor(), 1)
		c := w.resume(t, who, version)
		c.follow(c.stateTopic("+"))
		c.expectOn(c.stateTopic(id))
		c.expectOn(c.stateTopic(newer))
		c.ping() // behind the acknowledgement
		w.away(c)
		again := w.resume(t, who, version)
		again.ping()
		w.claim(other, id)
		again.expectGone(id)
	})
}
