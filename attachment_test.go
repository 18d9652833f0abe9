package parley_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
)

func TestDraftsWithAttachments(t *testing.T) {
	const shape = "attachments are a list"
	ten := strings.Repeat(`{"id":"att_X"},`, 10)
	for name, tc := range map[string]struct{ body, want, refusal string }{
		"one":                  {`{"text":"look","attachments":[{"id":"att_1"}]}`, `{"text":"look","attachments":[{"id":"att_1"}]}`, ""},
		"no text":              {`{"text":"","attachments":[{"id":"att_1"},{"id":"att_2"}]}`, `{"text":"","attachments":[{"id":"att_1"},{"id":"att_2"}]}`, ""},
		"what the sender says": {`{"attachments":[{"name":"a.exe","id":"att_1","type":"text/html"}],"text":"x"}`, `{"text":"x","attachments":[{"id":"att_1"}]}`, ""},
		"no text, no file":     {`{"text":""}`, "", "the text is empty"},
		"text is left out":     {`{"attachments":[{"id":"att_1"}]}`, "", "the body of a text message"},
		"none":                 {`{"text":"x","attachments":[]}`, "", shape},
		"null":                 {`{"text":"x","attachments":null}`, "", shape},
		"an object":            {`{"text":"x","attachments":{"id":"att_1"}}`, "", shape},
		"strings":              {`{"text":"x","attachments":["att_1"]}`, "", shape},
		"no id":                {`{"text":"x","attachments":[{"name":"a"}]}`, "", shape},
		"an operator":          {`{"text":"x","attachments":[{"id":{"$ne":null}}]}`, "", shape},
		"a path":               {`{"text":"x","attachments":[{"id":"../att_1"}]}`, "", shape},
		"another case":         {`{"text":"x","attachments":[{"ID":"att_1"}]}`, "", shape},
		"one twice":            {`{"text":"x","attachments":[{"id":"att_1"},{"id":"att_1"}]}`, "", shape},
		"two ids":              {`{"text":"x","attachments":[{"id":"att_1","id":"att_2"}]}`, "", shape},
		"two lists":            {`{"text":"x","attachments":[{"id":"att_1"}],"attachments":[{"id":"att_2"}]}`, "", "attachments is given twice"},
		"eleven":               {`{"text":"x","attachments":[` + ten + `{"id":"att_11"}]}`, "", shape},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := parley.DecodeDraft([]byte(`{"id":"msg_12345","type":"text","body":` + tc.body + `}`))
			if tc.refusal != "" {
				if e := parley.ErrorOf(err); e == nil || e.Code != parley.CodeInvalid || e.ID != "msg_12345" || !strings.Contains(e.Message, tc.refusal) {
					t.Errorf("got %v, want %q", err, tc.refusal)
				}
				return
			}
			if err != nil || string(d.Body) != tc.want {
				t.Errorf("got %s, %v; want %s", d.Body, err, tc.want)
			}
		})
	}
}

func TestAttachmentsOf(t *testing.T) {
	body := `{"text":"x","attachments":[{"id":"att_1","name":"a.png","type":"image/png","size":7,"width":2,"height":3,"thumbnail":true}]}`
	want := []parley.Attached{{ID: "att_1", Name: "a.png", Type: "image/png", Size: 7, Width: 2, Height: 3, Thumbnail: true}}
	if d := cmp.Diff(want, parley.AttachmentsOf([]byte(body))); d != "" {
		t.Error(d)
	}
	for _, body := range []string{``, `{}`, `{"text":"\",\"attachments\":[{\"id\":\"att_1\"}]"}`, `{"text":"x"}`} {
		if got := parley.AttachmentsOf([]byte(body)); got != nil {
			t.Errorf("%s has %v", body, got)
		}
	}
}

// A list shows what was attached where nothing was written.
func TestLastTextOfAttachments(t *testing.T) {
	var c parley.Conversation
	for seq, tc := range []struct{ body, want string }{
		{`{"text":"","attachments":[{"id":"att_1","name":"<b>.png","type":"image/png","size":7}]}`, "<b>.png"},
		{`{"text":"look","attachments":[{"id":"att_1","name":"a.png","type":"image/png","size":7}]}`, "look"},
		{`{"text":""}`, ""},
	} {
		c.Apply(&parley.Entry{Seq: int64(seq + 1), Type: parley.EntryText, Body: []byte(tc.body)})
		if c.LastText != tc.want {
			t.Errorf("%s: %q, want %q", tc.body, c.LastText, tc.want)
		}
	}
}
