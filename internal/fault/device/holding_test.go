package device_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
)

// What a device shows of edits and deletes, as the protocol says.
func TestHoldingOfEdits(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []string // sender, type, body and more of the wire form; seq is the place
		want    []string
	}{
		{"the newest edit", []string{
			`"a","type":"text","body":{"text":"one"}`,
			`"a","type":"edit","body":{"seq":1,"text":"two"}`,
			`"a","type":"edit","body":{"seq":1,"text":"three"}`,
		}, []string{"1 three (edited)"}},
		{"an edit by somebody else", []string{
			`"a","type":"text","body":{"text":"one"}`,
			`"b","type":"edit","body":{"seq":1,"text":"two"}`,
		}, []string{"1 one"}},
		{"a delete is final, by whomever", []string{
			`"a","type":"text","body":{"text":"one"}`,
			`"a","type":"text","body":{"text":"other"}`,
			`"b","type":"delete","body":{"seq":1}`,
			`"a","type":"edit","body":{"seq":1,"text":"two"}`,
		}, []string{"1 deleted", "2 other"}},
		{"what comes when it is deleted already", []string{
			`"a","type":"text","body":{},"redacted":true`,
			`"a","type":"edit","body":{},"redacted":true`,
			`"a","type":"delete","body":{"seq":1}`,
		}, []string{"1 deleted"}},
		{"of nothing that is there", []string{
			`"a","type":"text","body":{"text":"one"}`,
			`"a","type":"edit","body":{"seq":7,"text":"two"}`,
		}, []string{"1 one"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &device.Session{Site: "demo", User: "agt_1", Device: "dev_1"}
			h := device.NewHolding(s, nil, 0)
			h.Deliver(s.Topic(parley.TopicState, "cnv_1"), []byte(`{"conversation":"cnv_1","assignee":{"id":"agt_1"}}`))
			for i, e := range c.entries {
				h.Deliver(s.Topic(parley.TopicMessages, "cnv_1"), fmt.Appendf(nil, `{"seq":%d,"id":"msg_%d","sender":%s}`, i+1, i, e))
			}
			if diff := cmp.Diff(c.want, h.View([]string{"cnv_1"}).Conversations["cnv_1"].Texts); diff != "" {
				t.Error(diff)
			}
			if got := h.Troubles(); len(got) > 0 {
				t.Error(got)
			}
		})
	}
}
