package seal_test

import (
	"strings"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

func attachment(id string) parley.Attachment {
	return parley.Attachment{
		Site: site, ID: id, Conversation: "cnv_1", Uploader: "vis_ann", State: parley.AttachmentReady, Version: 1, At: 1000, ChangedAt: 1000,
		Name: secret + ".txt", Size: 5, Sum: strings.Repeat("ab", 32), Type: "text/plain",
	}
}

// TestAttachmentsAreSealed writes what is known about files before and after their site
// was sealed.
func TestAttachmentsAreSealed(t *testing.T) {
	s, err := openAs(t.Context(), t.TempDir(), newKeys(t, false))
	must(t, err)
	defer closing(t, s)
	must(t, s.SaveAttachment(t.Context(), attachment("att_1")))
	must(t, s.SealSite(t.Context(), site))
	must(t, s.SealSite(t.Context(), site))
	must(t, s.SaveAttachment(t.Context(), attachment("att_2")))
	must(t, s.SaveAttachment(t.Context(), attachment("att_2"))) // the answer was lost
	for id, version := range map[string]int64{"att_1": 2, "att_2": 1} {
		raw, err := s.behind.Attachment(t.Context(), site, id)
		must(t, err)
		if strings.Contains(raw.Name, secret) || strings.Contains(raw.Sum, "abab") {
			t.Errorf("%s is plain: %+v", id, raw)
		}
		got, err := s.Attachment(t.Context(), site, id)
		must(t, err)
		want := attachment(id)
		want.Version = version
		equal(t, id, got, want)
	}
	list, err := s.Attachments(t.Context(), bridge.AttachmentQuery{Site: site, States: []parley.AttachmentState{parley.AttachmentReady}})
	must(t, err)
	if len(list) != 2 || list[0].Name != secret+".txt" {
		t.Errorf("the list is %+v", list)
	}
}

// TestSealingAttachments reads rows as they are copied to be sealed.
func TestSealingAttachments(t *testing.T) {
	s, err := openAs(t.Context(), t.TempDir(), newKeys(t, false))
	must(t, err)
	defer closing(t, s)
	must(t, s.SealSite(t.Context(), site))
	must(t, s.behind.SaveAttachment(t.Context(), attachment("att_1"))) // of before
	var before string
	for range 2 {
		rows, err := s.Sealing(s.behind).Rows(t.Context(), bridge.RowAttachment, "", 10)
		must(t, err)
		if len(rows) != 1 || strings.Contains(string(rows[0].Value), secret) || before != "" && before != string(rows[0].Value) {
			t.Errorf("copied is %s", rows)
		}
		before = string(rows[0].Value)
	}
}
