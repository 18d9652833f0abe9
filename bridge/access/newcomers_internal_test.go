package access

import (
	"fmt"
	"testing"
	"time"
)

// Any number of addresses costs bounded memory, and shuts nobody out.
func TestManyAddresses(t *testing.T) {
	n := newNewcomers(time.Now, NewVisitors)
	for i := range 25_000 {
		if err := n.take(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)); err != nil {
			t.Fatal(err)
		}
	}
	if len(n.free) != maxNewcomerKeys {
		t.Errorf("%d addresses are remembered", len(n.free))
	}
}
