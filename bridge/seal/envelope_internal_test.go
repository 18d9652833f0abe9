package seal

import (
	"bytes"
	"testing"
)

// FuzzUnfold reads envelopes that anybody may have written into the store.
func FuzzUnfold(f *testing.F) {
	for _, seed := range []string{
		`{"sealed":"AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, `{"seq":7,"sealed":"AQEAAAAAAAAAAAAAAAAA"}`,
		`{"sealed":""}`, `{"sealed":"AQ"}`, `{"seq":,"sealed":""}`, `{"seq":99999999999999999999,"sealed":"AQEA"}`, `{"text":"hello"}`, `{}`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, json []byte) {
		was := bytes.Clone(json)
		l, err := unfold(json)
		number, ok := numberOf(json)
		if !bytes.Equal(was, json) {
			t.Error("it is changed")
		}
		if err != nil {
			return
		}
		if !isSealed(json) || ok && number != l.number {
			t.Errorf("sealed %v, data key %d, %v; unfolded %+v", isSealed(json), number, ok, l)
		}
		if again := envelope(l.number, l.target, l.ciphertext); isSealed(again) {
			if back, err := unfold(again); err != nil || back.number != l.number || !bytes.Equal(back.ciphertext, l.ciphertext) {
				t.Errorf("folded and unfolded again: %+v, %v", back, err)
			}
		}
	})
}

// TestAboutIsUnambiguous joins lists that would be the same without lengths.
func TestAboutIsUnambiguous(t *testing.T) {
	lists := [][]string{{"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}, {"", "abc"}, {"\x02ab\x01c"}}
	seen := map[string][]string{}
	for _, list := range lists {
		joined := string(about(list...))
		if other, twice := seen[joined]; twice {
			t.Errorf("%q and %q give the same", list, other)
		}
		seen[joined] = list
	}
}
