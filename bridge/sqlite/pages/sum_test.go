package pages

import (
	"math/rand/v2"
	"testing"
)

// Every bit of a page counts, and where the page lies.
func TestSound(t *testing.T) {
	page := make([]byte, Size)
	for i := range page {
		page[i] = byte(rand.IntN(256))
	}
	seal(page, 7)
	if !sound(page, 7) || sound(page, 8) {
		t.Errorf("sound in its place: %v, in another: %v", sound(page, 7), sound(page, 8))
	}
	for bit := range 8 * Size {
		page[bit/8] ^= 1 << (bit % 8)
		if sound(page, 7) {
			t.Errorf("bit %d does not count", bit)
		}
		page[bit/8] ^= 1 << (bit % 8)
	}
	if !sound(make([]byte, Size), 7) {
		t.Error("a page that was never written is damage")
	}
}

func TestUnsealed(t *testing.T) {
	header := func(reserve byte, sealed bool) []byte {
		page := make([]byte, Size)
		copy(page, "SQLite format 3\x00")
		if page[reserveAt] = Reserve; sealed {
			seal(page, 1)
		}
		page[reserveAt] = reserve
		return page
	}
	for name, c := range map[string]struct {
		first []byte
		want  bool
	}{
		"from before":    {header(0, false), true},
		"sealed":         {header(Reserve, true), false},
		"a flipped bit":  {header(0, true), false},
		"no database":    {make([]byte, Size), false},
		"too short":      {header(0, false)[:100], false},
		"nothing at all": {nil, false},
	} {
		if got := Unsealed(c.first); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
