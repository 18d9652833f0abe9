package mongo

import (
	"cmp"
	"testing"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// Ids of documents sort as their places do, from behind.
func TestPlaceIDs(t *testing.T) {
	place := rapid.Custom(func(rt *rapid.T) bridge.Place {
		return bridge.Place{
			At:     rapid.Int64Range(0, 1<<62).Draw(rt, "at") >> rapid.IntRange(0, 62).Draw(rt, "shift"),
			Stream: parley.MessagesOf("ste_a", rapid.SampledFrom([]string{"a", "a-", "a_", "ab", "A", "0", "a/b"}).Draw(rt, "conversation")),
			Seq:    rapid.Int64Range(1, 1<<53).Draw(rt, "seq") >> rapid.IntRange(0, 52).Draw(rt, "shift"),
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		a, b := place.Draw(rt, "a"), place.Draw(rt, "b")
		if rapid.Bool().Draw(rt, "of one time") {
			b.At = a.At
		}
		if cmp.Compare(placeID(b), placeID(a)) != a.Compare(b) {
			rt.Errorf("%q and %q are not in the order of their places", placeID(a), placeID(b))
		}
	})
}
