package sqlite

import "github.com/parley-chat/parley"

// head is where a stream ends, as the running transaction sees it.
type head struct {
	stream  int64 // the stream's row
	seq     int64
	control int64
	count   int64
}

// headsKept is how many streams a generation of the cache holds, about 100
// bytes each.
const headsKept = 1 << 15

// headCache remembers the heads of the streams that were written last. It has
// two generations: when the young one is full it becomes the old one, and what
// was in the old one and not used since is forgotten.
type headCache struct {
	young, old map[parley.Stream]*head
}

func (c *headCache) get(s parley.Stream) *head {
	if h, ok := c.young[s]; ok {
		return h
	}
	h, ok := c.old[s]
	if ok {
		c.put(s, h)
	}
	return h
}

func (c *headCache) put(s parley.Stream, h *head) {
	if c.young == nil || len(c.young) >= headsKept {
		c.old, c.young = c.young, map[parley.Stream]*head{}
	}
	c.young[s] = h
}

func (c *headCache) clear() { c.young, c.old = nil, nil }
