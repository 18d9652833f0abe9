package broker_test

import (
	"slices"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
)

// Exact and membership filters that come and go, at any QoS, on a device that
// leaves and comes back: what was written while a filter covered it is delivered
// once, in order, and nothing else is.
func TestFiltersThatComeAndGo(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		who := w.visitor()
		conversations := []string{w.conversation(who, 1), w.conversation(who, 2)}
		heads := []int64{2, 3}
		version := rapid.SampledFrom([]byte{4, 5}).Draw(rt, "version")
		c := w.resume(t, who, version)
		filters := []string{c.messagesTopic(conversations[0]), c.messagesTopic(conversations[1]), c.messagesTopic(parley.Any)}
		granted := map[string]bool{}
		online := true
		var due [2][]string // ids that are still to be delivered
		settle := func() {
			t.Helper()
			for i, id := range conversations {
				w.followed(who, id, heads[i])
				for len(due[i]) > 0 {
					if e := c.expectEntry(c.messagesTopic(id)); e.ID != due[i][0] {
						rt.Fatalf("conversation %d: seq %d is delivered, of %d to come", i, e.Seq, len(due[i]))
					}
					due[i] = due[i][1:]
				}
			}
			c.ping() // behind the acknowledgements
		}
		write := func(i int) {
			d := draft()
			w.record(who, conversations[i], d)
			heads[i]++
			if granted[filters[i]] || granted[filters[2]] {
				due[i] = append(due[i], d.ID)
			}
		}
		for range rapid.IntRange(1, 14).Draw(rt, "steps") {
			step := rapid.SampledFrom([]string{"subscribe", "subscribe", "unsubscribe", "write", "write", "away"}).Draw(rt, "step")
			switch {
			case step == "write":
				write(rapid.IntRange(0, 1).Draw(rt, "conversation"))
			case step == "away" && online:
				settle()
				w.away(c)
				online = false
				continue
			case !online:
				c, online = w.resume(t, who, version), true
			case step == "subscribe":
				f := rapid.SampledFrom(filters).Draw(rt, "filter")
				c.subscribeAt(1, f)
				granted[f] = true
			case step == "unsubscribe":
				f := rapid.SampledFrom(filters).Draw(rt, "filter")
				c.unsubscribe(f)
				delete(granted, f)
			}
			if online {
				settle()
			}
		}
		if !online {
			c = w.resume(t, who, version)
		}
		settle()
		c.expectNone("a delivery", func(pk packets.Packet) bool {
			return slices.ContainsFunc(conversations, func(id string) bool { return on(pk, c.messagesTopic(id)) })
		})
		c.hangUp()
		w.end()
	})
}
