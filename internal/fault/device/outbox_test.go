package device

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
)

func draft(n int) parley.Draft { return parley.NewText(fmt.Sprintf("message-%d", n), "hello") }

// TestOutbox drives the outbox through connections that end at any moment and
// acknowledgements in any order, and compares it with a plain list.
func TestOutbox(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const window = 4
		o := newOutbox()
		var unsettled []string // in the order of adding
		var wire []string      // under way on this connection
		everSent, added := map[string]bool{}, 0
		t.Repeat(map[string]func(*rapid.T){
			"add": func(*rapid.T) {
				added++
				o.add(draft(added))
				unsettled = append(unsettled, draft(added).ID)
			},
			"take": func(t *rapid.T) {
				d, again, ok := o.take(window)
				if can := len(wire) < window && len(wire) < len(unsettled); ok != can {
					t.Fatalf("took %v with %d under way of %d", ok, len(wire), len(unsettled))
				}
				if !ok {
					return
				}
				if want := unsettled[len(wire)]; d.ID != want {
					t.Fatalf("took %s, want the oldest that is not under way, %s", d.ID, want)
				}
				if again != everSent[d.ID] {
					t.Fatalf("%s: again is %v", d.ID, again)
				}
				everSent[d.ID] = true
				wire = append(wire, d.ID)
			},
			"settle": func(t *rapid.T) {
				if len(wire) == 0 {
					if o.settle("message-0") {
						t.Fatal("settled what is not under way")
					}
					return
				}
				i := rapid.IntRange(0, len(wire)-1).Draw(t, "index")
				if !o.settle(wire[i]) || o.settle(wire[i]) {
					t.Fatal("a draft is settled once, and only once")
				}
				unsettled = slices.DeleteFunc(unsettled, func(id string) bool { return id == wire[i] })
				wire = slices.Delete(wire, i, i+1)
			},
			"reconnect": func(*rapid.T) {
				o.rewind()
				wire = nil
			},
			"": func(t *rapid.T) {
				if o.pending() != len(unsettled) {
					t.Fatalf("%d pending, want %d", o.pending(), len(unsettled))
				}
			},
		})
	})
}
