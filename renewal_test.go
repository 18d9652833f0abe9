package parley_test

import (
	"strings"
	"testing"

	"github.com/parley-chat/parley"
)

func TestDecodeRenewal(t *testing.T) {
	for payload, want := range map[string]string{
		`{"token":"a.b"}`:                         "a.b",
		` {"more":{"token":1},"\u0074oken":"a"} `: "a",
		`{"Token":"x","token":"a","TOKEN":"y"}`:   "a",
	} {
		if got, err := parley.DecodeRenewal([]byte(payload)); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", payload, got, err, want)
		}
	}
	for _, payload := range []string{
		``, `null`, `"a"`, `["a"]`, `{`, `{}`, `{"Token":"a"}`, `{"TOKEN":"a"}`, `{"token":"a","token":"a"}`, `{"token":""}`, `{"token":null}`,
		`{"token":1}`, `{"token":["a"]}`, `{"token":"\ud800"}`, "{\"token\":\"\xff\"}", `{"token":"a"} {"token":"b"}`,
		`{"token":"` + strings.Repeat("x", parley.MaxRenewalBytes) + `"}`,
	} {
		if token, err := parley.DecodeRenewal([]byte(payload)); err == nil || parley.ErrorOf(err).Code != parley.CodeInvalid {
			t.Errorf("%.80s: %q, %v, want %s", payload, token, err, parley.CodeInvalid)
		}
	}
}
