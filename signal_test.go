package parley_test

import (
	"strings"
	"testing"

	"github.com/parley-chat/parley"
)

func TestDecodeSignal(t *testing.T) {
	long := func(n int) string {
		return `{"type":"typing","text":"` + strings.Repeat("x", n-len(`{"type":"typing","text":""}`)) + `"}`
	}
	for name, tc := range map[string]struct {
		payload, body string
		code          parley.Code
	}{
		"typing":          {payload: `{"type":"typing"}`, body: `{"type":"typing"}`},
		"more members":    {payload: " {\"a\": [1, 2],\n\"type\": \"typing\", \"text\": \"你好\"} ", body: `{"a":[1,2],"type":"typing","text":"你好"}`},
		"as long as may":  {payload: long(parley.MaxSignalBytes), body: long(parley.MaxSignalBytes)},
		"too long":        {payload: long(parley.MaxSignalBytes + 1), code: parley.CodeTooLarge},
		"empty":           {payload: ``, code: parley.CodeInvalid},
		"no JSON":         {payload: `{"type":"typing"`, code: parley.CodeInvalid},
		"two objects":     {payload: `{"type":"typing"}{}`, code: parley.CodeInvalid},
		"no object":       {payload: `["typing"]`, code: parley.CodeInvalid},
		"null":            {payload: `null`, code: parley.CodeInvalid},
		"no type":         {payload: `{}`, code: parley.CodeInvalid},
		"no name":         {payload: `{"type":""}`, code: parley.CodeInvalid},
		"type no string":  {payload: `{"type":1}`, code: parley.CodeInvalid},
		"type twice":      {payload: `{"type":"typing","type":"away"}`, code: parley.CodeInvalid},
		"not UTF-8":       {payload: "{\"type\":\"\xff\"}", code: parley.CodeInvalid},
		"half surrogates": {payload: `{"type":"typing","text":"\ud800"}`, code: parley.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := parley.DecodeSignal([]byte(tc.payload))
			if code := codeOf(err); code != tc.code || string(body) != tc.body {
				t.Errorf("got %q, %v", body, err)
			}
		})
	}
}

func codeOf(err error) parley.Code {
	if err == nil {
		return ""
	}
	return parley.ErrorOf(err).Code
}
