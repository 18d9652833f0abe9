package parley_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

// A refusal says what is wrong, not what would have been found wrong later.
func TestDecodeDraftSaysWhy(t *testing.T) {
	for payload, why := range map[string]string{
		`null`: "not a JSON object",
		`7`:    "not a JSON object",
		`{"id":null,"type":"text","body":{"text":"x"}}`:                           "id must be a string",
		`{"ID":"msg_12345","type":"text","body":{"text":"x"}}`:                    "id must be a string",
		`{"id":"msg_12345","id":"msg_12345","type":"text","body":{"text":"x"}}`:   "id is given twice",
		`{"id":"msg_12345","type":"text","body":{"text":"x"},"body":{"text":""}}`: "body is given twice",
		`{"id":"msg_12345","type":"text","body":{"text":"x\ud800"}}`:              "half of a surrogate pair",
		`{"id":"msg_12345","type":"text","body":{"text":null}}`:                   "the body of a text message is",
	} {
		_, err := parley.DecodeDraft([]byte(payload))
		if e := parley.ErrorOf(err); e == nil || e.Code != parley.CodeInvalid || !strings.Contains(e.Message, why) {
			t.Errorf("%s: got %v, want %q", payload, err, why)
		}
	}
}

func BenchmarkDecodeDraft(b *testing.B) {
	for name, text := range map[string]string{
		"short":   "Hello, is my order on the way? 你好",
		"escaped": `one\ntwo \"quoted\" \u4f60\ud83d\ude00`,
		"1KiB":    strings.Repeat("abcdefgh", 128),
		"64KiB":   strings.Repeat("abcdefgh", 8000),
	} {
		payload := []byte(`{"id":"msg_7k2abcdefghijklmnopqrstuv","type":"text","body":{"text":"` + text + `"}}`)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parley.DecodeDraft(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzDecodeDraft(f *testing.F) {
	f.Add([]byte(`{"id":"msg_12345","type":"text","body":{"text":"hi"}}`))
	for _, text := range []string{`\ud800`, `\udc00`, `\udc00\ud800`, `\ud83d\ude00`, `\\ud800`, `\"`} {
		f.Add([]byte(`{"id":"msg_12345","type":"text","body":{"text":"` + text + `"}}`))
	}
	f.Add([]byte(`{"x":[{"}":"\\"}],"id":"msg_12345","ID":1,"type":"text","body":{"text":"hi","text":"ho"},"body":{}}`))
	f.Add([]byte("{\"id\":\"msg_12345\",\"body\":{\"text\":\"\xff\"}}"))
	f.Add([]byte(`{"id":"msg_12345","type":"edit","body":{"seq":7,"text":"\u4f60"}}`))
	f.Add([]byte(`{"id":"msg_12345","type":"delete","body":{"seq":9007199254740991}}`))
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
		if want := plainDraft(t, payload); d.ID != want.ID || !bytes.Equal(d.Body, want.Body) {
			t.Fatalf("%s: got %q %s, want %q %s", payload, d.ID, d.Body, want.ID, want.Body)
		}
		const replacement = "\ufffd"
		written := bytes.Contains(payload, []byte(replacement)) || bytes.Contains(bytes.ToLower(payload), []byte(`\ufffd`))
		if bytes.Contains(d.Body, []byte(replacement)) && !written {
			t.Fatalf("%s: something was replaced in %s", payload, d.Body)
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

// plainDraft reads an acceptable payload in the slow way.
func plainDraft(t *testing.T, payload []byte) parley.Draft {
	t.Helper()
	members := func(data []byte) map[string]json.RawMessage { // a map's names are compared exactly
		var m map[string]json.RawMessage
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatalf("%s was accepted: %v", data, err)
		}
		return m
	}
	var id, text string
	var kind parley.EntryType
	var seq int64
	outer := members(payload)
	body := members(outer["body"])
	err := errors.Join(json.Unmarshal(outer["id"], &id), json.Unmarshal(outer["type"], &kind))
	if kind != parley.EntryDelete {
		err = errors.Join(err, json.Unmarshal(body["text"], &text))
	}
	if kind != parley.EntryText {
		err = errors.Join(err, json.Unmarshal(body["seq"], &seq))
	}
	if err != nil {
		t.Fatalf("%s was accepted: %v", payload, err)
	}
	d := parley.NewText(id, text)
	switch kind {
	case parley.EntryEdit:
		d.Body = bytes.Replace(d.Body, []byte("{"), fmt.Appendf(nil, `{"seq":%d,`, seq), 1)
	case parley.EntryDelete:
		d.Body = fmt.Appendf(nil, `{"seq":%d}`, seq)
	}
	return d
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
