package fault

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-chat/parley/internal/fault/device"
)

// What a household does, and how often.
const (
	householdPace = 8 * time.Millisecond // between two things that somebody does
	calmPace      = 100 * time.Millisecond
	calmAfter     = time.Minute
	householdDebt = 60  // letters not acknowledged, above which a device does nothing new
	oldRegisters  = 200 // that a device of MQTT 3.1.1, which is not told versions, makes
	sharedKeys    = 4
	editable      = 30 // newest messages of a device that it edits and deletes
)

// live lets somebody do something, again and again, and less often when that has gone
// on for a while: everything is written down.
func (h *household) live(ctx context.Context) {
	began := time.Now()
	for n := 0; ; n++ {
		pace := householdPace
		if time.Since(began) > calmAfter || h.world.store != nil {
			pace = calmPace
		}
		if sleep(ctx, pace) != nil {
			return
		}
		c := h.all[n%len(h.all)]
		if c.Pending() < householdDebt {
			h.act(c, n)
		}
	}
}

func (h *household) act(c *device.Companion, n int) {
	switch what := h.random.IntN(12); {
	case what < 3:
		c.Say(h.conversation, fmt.Sprintf("thing %d: 我们都在", n))
	case what < 5:
		h.amend(c, n)
	case what < 8:
		h.mark(c)
	default:
		h.set(c, n)
	}
}

// amend edits or deletes something that the device has written, or, where it is told
// refusals, edits what another device of the user has written and may have deleted.
func (h *household) amend(c *device.Companion, n int) {
	author := c
	if c == h.all[1] && h.random.IntN(2) == 0 {
		author = h.all[2]
	}
	own := author.Own(h.conversation, editable)
	if len(own) == 0 {
		return
	}
	seq := own[h.random.IntN(len(own))]
	if author == c && h.random.IntN(3) == 0 {
		c.Delete(h.conversation, seq)
		return
	}
	c.Edit(h.conversation, seq, fmt.Sprintf("thing %d, said better: 都在呢", n))
}

// mark marks what the device has shown of some conversation, or, in one of four
// cases, less than that, which changes nothing.
func (h *household) mark(c *device.Companion) {
	conversation := h.conversation
	if c == h.agent {
		all := h.conversations()
		conversation = all[h.random.IntN(len(all))]
	}
	newest := c.Knows(conversation)
	if newest == 0 {
		return
	}
	if h.random.IntN(4) == 0 {
		newest = 1 + h.random.Int64N(newest)
	}
	c.Mark(conversation, newest, 1+h.random.Int64N(newest))
}

// set sets a register that others set as well, sometimes knowing that somebody was
// faster. A device that is not told versions makes its own.
func (h *household) set(c *device.Companion, n int) {
	value := map[string]any{"text": fmt.Sprintf("draft %d", n), "by": c.Session.Device}
	if c == h.all[2] {
		if h.sets[c]++; h.sets[c] <= oldRegisters {
			c.Set(fmt.Sprintf("pin:cnv_%d", h.sets[c]), value, 0)
		}
		return
	}
	behind := int64(0)
	if h.random.IntN(5) == 0 {
		behind = 1 + h.random.Int64N(3)
	}
	c.Set(fmt.Sprintf("draft:cnv_%d", h.random.IntN(sharedKeys)), value, behind)
}
