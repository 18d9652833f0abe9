package parley_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
)

// readVectors reads the cases of one file of the language-neutral vectors,
// which the TypeScript tests run too.
func readVectors[T any](t *testing.T, name string) []T {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("broker", "protocol", "vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []T `json:"cases"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(file.Cases) == 0 {
		t.Fatalf("%s: no cases", name)
	}
	return file.Cases
}

func TestTopicVectors(t *testing.T) {
	type vector struct {
		Topic  string `json:"topic"`
		Parsed *struct {
			Kind         parley.TopicKind `json:"kind"`
			Site         string           `json:"site"`
			Conversation string           `json:"conversation"`
			User         string           `json:"user"`
			Device       string           `json:"device"`
		} `json:"parsed"`
		FilterOnly bool `json:"filterOnly"`
	}
	for _, v := range readVectors[vector](t, "topics.json") {
		t.Run(v.Topic, func(t *testing.T) {
			var want parley.Topic
			if v.Parsed != nil {
				want = parley.Topic(*v.Parsed)
			}
			check := func(what string, parse func(string) (parley.Topic, error), valid bool) {
				t.Helper()
				got, err := parse(v.Topic)
				if (err == nil) != valid {
					t.Fatalf("%s: error %v, want valid %v", what, err, valid)
				}
				if !valid {
					return
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
				if got.String() != v.Topic {
					t.Errorf("%s: built again it is %q", what, got)
				}
			}
			check("topic", parley.ParseTopic, v.Parsed != nil && !v.FilterOnly)
			check("filter", parley.ParseFilter, v.Parsed != nil)
		})
	}
}

// draftVector is one case of drafts.json.
type draftVector struct {
	Name    string `json:"name"`
	Payload string `json:"payload"`
	Base64  string `json:"base64"`
	Repeat  *struct {
		Text  string `json:"text"`
		Times int    `json:"times"`
	} `json:"repeat"`
	ID        string `json:"id"`
	Text      string `json:"text"`
	Body      string `json:"body"`
	BodyBytes int    `json:"bodyBytes"`
	Refused   *struct {
		Code parley.Code `json:"code"`
		ID   string      `json:"id"`
	} `json:"refused"`
}

func (v draftVector) bytes(t *testing.T) []byte {
	t.Helper()
	switch {
	case v.Repeat != nil: // none of the repeated texts needs escaping
		text := strings.Repeat(v.Repeat.Text, v.Repeat.Times)
		return []byte(`{"id":"msg_0123456789","type":"text","body":{"text":"` + text + `"}}`)
	case v.Base64 != "":
		data, err := base64.StdEncoding.DecodeString(v.Base64)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	return []byte(v.Payload)
}

func TestDraftVectors(t *testing.T) {
	for _, v := range readVectors[draftVector](t, "drafts.json") {
		t.Run(v.Name, func(t *testing.T) {
			got, err := parley.DecodeDraft(v.bytes(t))
			if v.Refused != nil {
				var refusal *parley.Error
				if !errors.As(err, &refusal) {
					t.Fatalf("got %v, want a refusal", err)
				}
				if refusal.Code != v.Refused.Code || refusal.ID != v.Refused.ID {
					t.Fatalf("got %v about %q, want %v about %q", refusal.Code, refusal.ID, v.Refused.Code, v.Refused.ID)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != v.ID || got.Type != parley.EntryText {
				t.Errorf("got id %q type %q", got.ID, got.Type)
			}
			if v.BodyBytes != 0 {
				if len(got.Body) != v.BodyBytes {
					t.Errorf("the body has %d bytes, want %d", len(got.Body), v.BodyBytes)
				}
				return
			}
			if string(got.Body) != v.Body {
				t.Errorf("body\n got %s\nwant %s", got.Body, v.Body)
			}
		})
	}
}

func TestEditVectors(t *testing.T) {
	type vector struct {
		draftVector
		Type parley.EntryType `json:"type"`
	}
	for _, v := range readVectors[vector](t, "edits.json") {
		t.Run(v.Name, func(t *testing.T) {
			got, err := parley.DecodeDraft(v.bytes(t))
			if v.Refused != nil {
				if refusal := parley.ErrorOf(err); refusal == nil || refusal.Code != v.Refused.Code || refusal.ID != v.Refused.ID {
					t.Fatalf("got %v, want %v about %q", err, v.Refused.Code, v.Refused.ID)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != v.ID || got.Type != v.Type || string(got.Body) != v.Body {
				t.Errorf("got %s %s %s, want %s %s %s", got.ID, got.Type, got.Body, v.ID, v.Type, v.Body)
			}
		})
	}
}

func TestEntryVectors(t *testing.T) {
	type wire struct {
		Seq    int64            `json:"seq"`
		Epoch  string           `json:"epoch"`
		ID     string           `json:"id"`
		Sender string           `json:"sender"`
		Device string           `json:"device"`
		Role   parley.Role      `json:"role"`
		Type   parley.EntryType `json:"type"`
		Body   json.RawMessage  `json:"body"`
		At     int64            `json:"at"`
		Count  int64            `json:"count"`

		Redacted bool `json:"redacted"`
	}
	type vector struct {
		Name    string `json:"name"`
		Payload string `json:"payload"`
		Entry   *wire  `json:"entry"`
	}
	stream := parley.MessagesOf("ste_a", "cnv_b")
	for _, v := range readVectors[vector](t, "entries.json") {
		t.Run(v.Name, func(t *testing.T) {
			got, epoch, err := parley.DecodeEntry(stream, []byte(v.Payload))
			if v.Entry == nil {
				if err == nil {
					t.Fatalf("decoded to %+v, want an error", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w := *v.Entry
			want := parley.Entry{
				Stream: stream, Seq: w.Seq, ID: w.ID, Sender: w.Sender, Device: w.Device, Role: w.Role,
				Type: w.Type, Body: got.Body, At: w.At, Count: w.Count, Redacted: w.Redacted,
			}
			if diff := cmp.Diff(want, got); diff != "" || epoch != w.Epoch {
				t.Errorf("epoch %q (-want +got):\n%s", epoch, diff)
			}
			if diff := cmp.Diff(value(t, w.Body), value(t, got.Body)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			again, epochAgain, err := parley.DecodeEntry(stream, got.AppendJSON(nil, epoch))
			if diff := cmp.Diff(got, again); diff != "" || epochAgain != epoch || err != nil {
				t.Errorf("encoded and decoded again: epoch %q, error %v (-want +got):\n%s", epochAgain, err, diff)
			}
		})
	}
}

func value(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
