package bridge

import (
	"fmt"
	"testing"

	"github.com/parley-chat/parley"
)

// What is not in use costs no memory: it goes with the second fade, or when there
// are too many others. What is in use stays.
func TestFade(t *testing.T) {
	stream := func(n int) parley.Stream { return parley.MessagesOf("site", fmt.Sprintf("cnv_%d", n)) }
	f := newFolds(nil, nil)
	fill := func(from, to int) {
		for n := from; n < to; n++ {
			f.put(stream(n), &parley.Conversation{Head: int64(n)})
		}
	}
	expect := func(want ...int) {
		t.Helper()
		for _, n := range want {
			if c, ok := f.get(stream(n)); !ok || c.Head != int64(n) {
				t.Errorf("conversation %d is %v", n, c)
			}
		}
	}
	fill(0, 10)
	f.fade()
	expect(3)
	f.fade()
	if f.len() != 1 {
		t.Errorf("%d are held, want the one that was used", f.len())
	}
	expect(3)
	fill(10, 3*maxFolds)
	if f.len() > 2*maxFolds {
		t.Errorf("%d are held, want %d at most", f.len(), 2*maxFolds)
	}
	expect(3*maxFolds-1, 2*maxFolds)

	c := newTails("epo")
	for n := range 2 {
		c.want(stream(n))
		c.add([]parley.Entry{{Stream: stream(n), Seq: 1, ID: "msg_1", Type: parley.EntryText, Body: []byte(`{}`)}})
	}
	c.fade()
	if _, ok := c.read(stream(1), 0, 1); !ok {
		t.Error("a tail that was used is gone")
	}
	c.fade()
	if _, ok := c.head(stream(0)); ok {
		t.Error("a tail that nobody uses is still there")
	}
	if _, ok := c.head(stream(1)); !ok {
		t.Error("a tail that was used is gone")
	}
	c.fade()
	if len(c.live) != 0 || c.bytes != 0 {
		t.Errorf("%d tails of %d bytes are left", len(c.live), c.bytes)
	}
}
