package seal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// TestLargest appends as much at once as may be: the longest bodies, and they get longer.
func TestLargest(t *testing.T) {
	s, err := openSealed(t.Context(), t.TempDir(), newKeys(t, false))
	must(t, err)
	defer closing(t, s.(sealed))
	text := strings.Repeat("x", parley.MaxBodyBytes-len(`{"text":""}`))
	entries := make([]parley.Entry, bridge.MaxAppend)
	for i := range entries {
		entries[i] = message(fmt.Sprintf("msg_%05d", i), text)
	}
	mustAppend(t, s, stream, entries...)
	got, err := s.Read(t.Context(), stream, 0, len(entries))
	must(t, err)
	if len(got) != len(entries) {
		t.Fatalf("%d entries, want %d", len(got), len(entries))
	}
	for i := range got {
		if string(got[i].Body) != string(entries[i].Body) {
			t.Fatalf("entry %d is read as %d bytes", i, len(got[i].Body))
		}
	}
}
