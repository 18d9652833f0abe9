package parley_test

import (
	"testing"

	"github.com/parley-chat/parley"
)

func TestControlTypes(t *testing.T) {
	for _, kind := range parley.ControlTypes() {
		if !kind.Control() || kind.Message() {
			t.Errorf("%s is no control type", kind)
		}
	}
	for _, kind := range []parley.EntryType{parley.EntryText, parley.EntryMarked, parley.EntryRefusal} {
		if kind.Control() {
			t.Errorf("%s is a control type", kind)
		}
	}
}
