package parley_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/parley-chat/parley"
)

func TestDecodeDraftIsCanonical(t *testing.T) {
	for _, payload := range []string{
		`{"id":"msg_12345","type":"text","body":{"text":"你好 🙂"}}`,
		` { "body" : { "text" : "\u4f60\u597d \ud83d\ude42" , "role":"owner" } , "type" : "text", "id":"msg_12345", "seq": 9 } `,
	} {
		d, err := parley.DecodeDraft([]byte(payload))
		if err != nil {
			t.Fatalf("DecodeDraft(%s): %v", payload, err)
		}
		if want := `{"text":"你好 🙂"}`; string(d.Body) != want || d.ID != "msg_12345" || d.Type != parley.EntryText {
			t.Errorf("DecodeDraft(%s) = %+v with body %s, want body %s", payload, d, d.Body, want)
		}
	}
}

func TestDecodeDraftRefuses(t *testing.T) {
	text := func(n int) string {
		return `{"id":"msg_12345","type":"text","body":{"text":"` + strings.Repeat("a", n) + `"}}`
	}
	const frame = len(`{"text":""}`)
	for name, tc := range map[string]struct {
		payload string
		code    parley.Code
		id      string
	}{
		"empty":            {"", parley.CodeInvalid, ""},
		"not json":         {"hello", parley.CodeInvalid, ""},
		"cut":              {`{"id":"msg_12345","type":"te`, parley.CodeInvalid, ""},
		"array":            {`[]`, parley.CodeInvalid, ""},
		"no id":            {`{"type":"text","body":{"text":"x"}}`, parley.CodeInvalid, ""},
		"short id":         {`{"id":"1234567","type":"text","body":{"text":"x"}}`, parley.CodeInvalid, ""},
		"long id":          {`{"id":"` + strings.Repeat("x", 65) + `","type":"text","body":{"text":"x"}}`, parley.CodeInvalid, ""},
		"id with a dot":    {`{"id":"msg.12345","type":"text","body":{"text":"x"}}`, parley.CodeInvalid, ""},
		"id is an object":  {`{"id":{"$ne":null},"type":"text","body":{"text":"x"}}`, parley.CodeInvalid, ""},
		"unknown type":     {`{"id":"msg_12345","type":"poke","body":{"text":"x"}}`, parley.CodeInvalid, "msg_12345"},
		"control type":     {`{"id":"msg_12345","type":"closed","body":{"by":"x"}}`, parley.CodeInvalid, "msg_12345"},
		"type is a number": {`{"id":"msg_12345","type":1,"body":{"text":"x"}}`, parley.CodeInvalid, "msg_12345"},
		"no body":          {`{"id":"msg_12345","type":"text"}`, parley.CodeInvalid, "msg_12345"},
		"body is a string": {`{"id":"msg_12345","type":"text","body":"x"}`, parley.CodeInvalid, "msg_12345"},
		"text is null":     {`{"id":"msg_12345","type":"text","body":{"text":null}}`, parley.CodeInvalid, "msg_12345"},
		"text is an array": {`{"id":"msg_12345","type":"text","body":{"text":["x"]}}`, parley.CodeInvalid, "msg_12345"},
		"empty text":       {`{"id":"msg_12345","type":"text","body":{"text":""}}`, parley.CodeInvalid, "msg_12345"},
		"not UTF-8":        {"{\"id\":\"msg_12345\",\"type\":\"text\",\"body\":{\"text\":\"\xff\xfe\"}}", parley.CodeInvalid, "msg_12345"},
		"one byte above":   {text(parley.MaxBodyBytes - frame + 1), parley.CodeTooLarge, "msg_12345"},
		"100 KiB":          {text(100 << 10), parley.CodeTooLarge, "msg_12345"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parley.DecodeDraft([]byte(tc.payload))
			if e := parley.ErrorOf(err); e == nil || e.Code != tc.code || e.ID != tc.id {
				t.Errorf("got %v, want %s about %q", err, tc.code, tc.id)
			}
		})
	}
	for _, filling := range []string{"a", "<", "\u2028"} {
		full := `{"id":"msg_12345","type":"text","body":{"text":"` + strings.Repeat(filling, (parley.MaxBodyBytes-frame)/len(filling)) + `"}}`
		if _, err := parley.DecodeDraft([]byte(full)); err != nil {
			t.Errorf("a body of %d bytes of %q is refused: %v", parley.MaxBodyBytes, filling, err)
		}
	}
}

func FuzzDecodeDraft(f *testing.F) {
	f.Add([]byte(`{"id":"msg_12345","type":"text","body":{"text":"hi"}}`))
	f.Add([]byte(`{"id":"msg_12345","type":"text","body":{"text":"\ud800"}}`))
	f.Add([]byte("{\"id\":\"msg_12345\",\"body\":{\"text\":\"\xff\"}}"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		d, err := parley.DecodeDraft(payload)
		if err != nil {
			if c := parley.ErrorOf(err).Code; c != parley.CodeInvalid && c != parley.CodeTooLarge {
				t.Fatalf("refusal has code %s", c)
			}
			return
		}
		if !parley.ValidMessageID(d.ID) || len(d.Body) > 2*len(payload) || !json.Valid(d.Body) {
			t.Fatalf("accepted %+v", d)
		}
		again, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := parley.DecodeDraft(again)
		if err != nil || !bytes.Equal(twice.Body, d.Body) {
			t.Fatalf("canonical form is not stable: %s then %s (%v)", d.Body, twice.Body, err)
		}
	})
}

func TestEntryWireForm(t *testing.T) {
	e := parley.Entry{
		Stream: parley.MessagesOf("s", "c"), Seq: 7, ID: "msg_12345", Sender: "vis_1", Device: "dev_1", Role: parley.RoleVisitor,
		Type: parley.EntryText, Body: json.RawMessage(`{"text":"你好 \"quoted\" 🙂"}`), At: 1763700000000, Count: 5,
	}
	wire := e.AppendJSON(nil, "epo_1")
	if !json.Valid(wire) {
		t.Fatalf("not JSON: %s", wire)
	}
	got, epoch, err := parley.DecodeEntry(e.Stream, wire)
	if err != nil || epoch != "epo_1" {
		t.Fatalf("decode: %v, epoch %q", err, epoch)
	}
	if string(got.AppendJSON(nil, epoch)) != string(wire) {
		t.Errorf("round trip: %s, want %s", got.AppendJSON(nil, epoch), wire)
	}
}
