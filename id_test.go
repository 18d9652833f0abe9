package parley_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/parley-chat/parley"
)

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 10_000 {
		id := parley.NewID(parley.PrefixConversation)
		if !parley.ValidID(id) || !strings.HasPrefix(id, "cnv_") || len(id) != len("cnv_")+26 || seen[id] {
			t.Fatalf("NewID = %q", id)
		}
		seen[id] = true
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "A-z_0": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a.b": false, "a/b": false, "+": false, "#": false, "$": false, "é": false, "a b": false, "a\x00": false,
	} {
		if got := parley.ValidID(id); got != want {
			t.Errorf("ValidID(%q) = %v", id, got)
		}
	}
}

func TestErrorOf(t *testing.T) {
	refusal := parley.Errorf(parley.CodeClosed, "closed")
	for name, tc := range map[string]struct {
		err  error
		want parley.Code
	}{
		"ours":    {refusal, parley.CodeClosed},
		"wrapped": {fmt.Errorf("append: %w", refusal), parley.CodeClosed},
		"foreign": {errors.New("disk /dev/sda on fire"), parley.CodeInternal},
	} {
		got := parley.ErrorOf(tc.err)
		if got.Code != tc.want || strings.Contains(got.Message, "sda") {
			t.Errorf("%s: %v", name, got)
		}
	}
	if parley.ErrorOf(nil) != nil {
		t.Error("ErrorOf(nil) is not nil")
	}
	if about := refusal.About("msg_12345"); about.ID != "msg_12345" || refusal.ID != "" {
		t.Error("About must copy")
	}
}
