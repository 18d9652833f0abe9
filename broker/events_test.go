package broker_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
)

// A user's events are a stream like errors: from the head on, kept for a device
// that is away, or from where the client says.
func TestEvents(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		stream := parley.EventsOf(w.site.ID, who.Identity.User)
		tell := func(n int) []string {
			t.Helper()
			var ids []string
			for range n {
				d := draft()
				answers, err := w.store.Append(t.Context(), stream, []parley.Entry{{
					ID: d.ID, Sender: parley.SenderSystem, Role: parley.RoleSystem, Type: d.Type, Body: d.Body, Digest: []byte(d.ID),
				}}, parley.ExpectAny)
				must(t, err)
				must(t, answers[0].Err)
				ids = append(ids, d.ID)
			}
			return ids
		}
		expect := func(c *client, want []string) {
			t.Helper()
			var got []string
			for range want {
				got = append(got, c.expectEntry(stream.Topic()).ID)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		}
		before := tell(3)
		c, other := w.resume(t, who, version), w.connect(t, w.again(who), version)
		c.follow(stream.Topic())
		other.follow(stream.Topic())
		live := tell(2)
		expect(c, live)
		expect(other, live)
		c.ping()
		w.away(c)
		missed := tell(5)
		w.restart()
		c = w.resume(t, who, version)
		expect(c, missed)
		if version == 5 {
			if codes := c.subscribeAfter(w.store.Epoch()+":2", stream.Topic()); codes[0] != 1 {
				t.Fatalf("SUBACK %#x", codes)
			}
			expect(c, append(append(before[2:], live...), missed...))
		}
		c.unsubscribe(stream.Topic())
		tell(1)
		c.follow(stream.Topic())
		expect(c, tell(1))
	})
}
