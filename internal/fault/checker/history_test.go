package checker_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

// history is a run in which everything went right.
type history struct {
	journals []checker.Record
	stream   []parley.Entry
}

func drawHistory(t *rapid.T) history {
	var h history
	h.stream = append(h.stream, entry(1, parley.SenderSystem, "bridge:1"))
	senders := rapid.IntRange(1, 3).Draw(t, "senders")
	for n := range rapid.IntRange(2, 20).Draw(t, "messages") {
		user := fmt.Sprintf("vis_%d", rapid.IntRange(1, senders).Draw(t, "sender"))
		e := entry(int64(len(h.stream))+1, user, fmt.Sprintf("message-%d", n))
		s := sent(e.ID)
		s.Device, s.User = user+"-phone", user
		a := acked(e.ID, e.Seq)
		a.Device = s.Device
		if rapid.Bool().Draw(t, "3.1.1") {
			a.Seq = 0
		}
		h.journals = append(h.journals, s)
		for range rapid.IntRange(0, 2).Draw(t, "repeats") {
			h.journals = append(h.journals, s)
		}
		h.journals = append(h.journals, a)
		h.stream = append(h.stream, e)
	}
	for d := range rapid.IntRange(1, 3).Draw(t, "devices") {
		device := fmt.Sprintf("agent-%d", d)
		after := rapid.IntRange(0, len(h.stream)-2).Draw(t, "after")
		h.journals = append(h.journals, onDevice(device, follows(int64(after))))
		for _, e := range h.stream[after:] {
			h.journals = append(h.journals, onDevice(device, shown(e)))
		}
	}
	return h
}

func onDevice(device string, r checker.Record) checker.Record {
	r.Device = device
	return r
}

// pick draws the index of a journal line of the kind.
func (h *history) pick(t *rapid.T, event checker.Event) int {
	var at []int
	for i, r := range h.journals {
		if r.Event == event {
			at = append(at, i)
		}
	}
	return rapid.SampledFrom(at).Draw(t, "line")
}

// message draws the index of a stored message.
func (h *history) message(t *rapid.T) int {
	return rapid.IntRange(1, len(h.stream)-1).Draw(t, "entry")
}

func TestCorrectHistoriesPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		if r := checker.Check(h.journals, stored(h.stream...)); !r.OK() {
			t.Fatal(r, r.Examples)
		}
	})
}

func TestEveryMutationIsFound(t *testing.T) {
	mutations := map[string]struct {
		mutate func(*rapid.T, *history)
		count  func(*checker.Report) int
	}{
		"an entry vanishes from the store, the rest moves up": {
			func(t *rapid.T, h *history) {
				i := h.message(t)
				h.stream = slices.Delete(h.stream, i, i+1)
				for j := i; j < len(h.stream); j++ {
					h.stream[j].Seq--
				}
			},
			func(r *checker.Report) int { return r.Lost },
		},
		"an entry vanishes from the store, leaving a hole": {
			func(t *rapid.T, h *history) {
				i := rapid.IntRange(0, len(h.stream)-2).Draw(t, "entry")
				h.stream = slices.Delete(h.stream, i, i+1)
			},
			func(r *checker.Report) int { return r.Gaps },
		},
		"an entry is stored again at the end": {
			func(t *rapid.T, h *history) {
				e := h.stream[h.message(t)]
				e.Seq = int64(len(h.stream)) + 1
				h.stream = append(h.stream, e)
			},
			func(r *checker.Report) int { return r.Doubled },
		},
		"the store changes a body": {
			func(t *rapid.T, h *history) {
				h.stream[h.message(t)].Body = body("forged")
			},
			func(r *checker.Report) int { return r.Changed },
		},
		"the store returns two entries swapped": {
			func(t *rapid.T, h *history) {
				i := rapid.IntRange(0, len(h.stream)-2).Draw(t, "entry")
				h.stream[i], h.stream[i+1] = h.stream[i+1], h.stream[i]
			},
			func(r *checker.Report) int { return r.Reordered },
		},
		"one sender's last two messages change places": {
			func(t *rapid.T, h *history) {
				// The whole run was one sender's, so that any two are neighbours.
				for i := range h.stream[1:] {
					h.stream[i+1].Sender = "vis_1"
				}
				for i := range h.journals {
					h.journals[i].Device = "phone"
					h.journals[i].User = "vis_1"
				}
				h.journals = slices.DeleteFunc(h.journals, func(r checker.Record) bool { return r.Event != checker.Sent })
				n := len(h.stream)
				h.stream[n-1].Seq, h.stream[n-2].Seq = h.stream[n-2].Seq, h.stream[n-1].Seq
				h.stream[n-1], h.stream[n-2] = h.stream[n-2], h.stream[n-1]
			},
			func(r *checker.Report) int { return r.Reordered },
		},
		"a device drops one": {
			func(t *rapid.T, h *history) {
				i := h.pick(t, checker.Shown)
				h.journals = slices.Delete(h.journals, i, i+1)
			},
			func(r *checker.Report) int { return r.Lost },
		},
		"a device shows one again": {
			func(t *rapid.T, h *history) {
				h.journals = append(h.journals, h.journals[h.pick(t, checker.Shown)])
			},
			func(r *checker.Report) int { return r.Doubled },
		},
		"a device shows the first one last": {
			func(t *rapid.T, h *history) {
				h.journals = append(h.journals, onDevice("late", follows(0)))
				for _, e := range append(slices.Clone(h.stream[1:]), h.stream[0]) {
					h.journals = append(h.journals, onDevice("late", shown(e)))
				}
			},
			func(r *checker.Report) int { return r.Reordered },
		},
		"a device shows another body": {
			func(t *rapid.T, h *history) { h.journals[h.pick(t, checker.Shown)].Body = body("forged") },
			func(r *checker.Report) int { return r.Changed },
		},
		"an acknowledgement is made up": {
			func(t *rapid.T, h *history) {
				r := h.journals[h.pick(t, checker.Sent)]
				r.ID = "never-stored"
				h.journals = append(h.journals, r)
				r.Event = checker.Acked
				h.journals = append(h.journals, r)
			},
			func(r *checker.Report) int { return r.Lost },
		},
		"an acknowledgement names another position": {
			func(t *rapid.T, h *history) { h.journals[h.pick(t, checker.Acked)].Seq = 1 },
			func(r *checker.Report) int { return r.Reordered },
		},
		"a message was never sent": {
			func(t *rapid.T, h *history) {
				user := h.stream[h.message(t)].Sender
				h.stream = append(h.stream, entry(int64(len(h.stream))+1, user, "out-of-thin-air"))
			},
			func(r *checker.Report) int { return r.Unexplained },
		},
	}
	for name, m := range mutations {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				h := drawHistory(t)
				m.mutate(t, &h)
				if r := checker.Check(h.journals, stored(h.stream...)); m.count(r) == 0 {
					t.Fatalf("not found: %v %q", r, r.Examples)
				}
			})
		})
	}
}
