package broker_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
)

// versions runs a test over both versions of MQTT.
func versions(t *testing.T, test func(t *testing.T, version byte)) {
	t.Helper()
	t.Run("MQTT 3.1.1", func(t *testing.T) { test(t, 4) })
	t.Run("MQTT 5", func(t *testing.T) { test(t, 5) })
}

func TestFirstConversation(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		visitor := w.connect(t, w.visitor(), version)
		phone, pc := w.connect(t, w.agent("lilei"), version), w.connect(t, w.agent("lilei"), version)
		for _, c := range []*client{visitor, phone, pc} {
			c.followMessages()
		}
		id := parley.NewID(parley.PrefixConversation)

		questions := drafts(5)
		for _, d := range questions {
			visitor.expectAck(visitor.post(id, d))
		}
		_, err := w.bridge.Claim(t.Context(), phone.who, id)
		must(t, err)
		answers := drafts(5)
		for i, d := range answers {
			from := []*client{phone, pc}[i%2]
			from.expectAck(from.post(id, d))
		}

		all := append(idsOf(questions), idsOf(answers)...)
		for _, c := range []*client{visitor, phone, pc} {
			c.expectTexts(id, all)
		}
		if diff := cmp.Diff(all, w.texts(id)); diff != "" {
			t.Errorf("stored (-sent +stored):\n%s", diff)
		}
	})
}

func TestAcknowledgementTellsThePosition(t *testing.T) {
	w := newWorld(t)
	visitor := w.connect(t, w.visitor(), 5)
	id, d := parley.NewID(parley.PrefixConversation), draft()
	for _, want := range []string{"", "1", "1"} {
		ack := visitor.expectAck(visitor.post(id, d))
		got := []string{userProperty(ack, "seq"), userProperty(ack, "epoch"), userProperty(ack, "duplicate")}
		if diff := cmp.Diff([]string{"2", w.store.Epoch(), want}, got); diff != "" { // seq 1 is the opening
			t.Errorf("seq, epoch, duplicate (-want +got):\n%s", diff)
		}
	}
	if n := len(w.texts(id)); n != 1 {
		t.Errorf("stored %d times", n)
	}
}

func TestRepeatFromAnotherDeviceAndAfterRestart(t *testing.T) {
	w := newWorld(t)
	visitor := w.visitor()
	id, d := parley.NewID(parley.PrefixConversation), draft()
	for i, who := range []parley.Credentials{visitor, w.again(visitor), visitor} {
		c := w.connect(t, who, 5)
		ack := c.expectAck(c.post(id, d))
		if got, want := userProperty(ack, "duplicate") == "1", i > 0; got != want {
			t.Errorf("try %d: duplicate is %v", i, got)
		}
		w.restart()
	}
	if n := len(w.texts(id)); n != 1 {
		t.Errorf("stored %d times", n)
	}
}

func TestSameIDOtherTextIsAConflict(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		visitor := w.connect(t, w.visitor(), version)
		visitor.follow(visitor.errorsTopic())
		id, d := parley.NewID(parley.PrefixConversation), draft()
		visitor.expectAck(visitor.post(id, d))

		ack := visitor.ackOf(visitor.post(id, parley.NewText(d.ID, "another text with the "+canary)))
		if version == 5 && (ack.ReasonCode != 0x83 || userProperty(ack, "code") != "conflict") {
			t.Errorf("PUBACK %#x %v", ack.ReasonCode, ack.Properties.User)
		}
		want := refusal{ID: d.ID, Topic: visitor.sendTopic(id), Code: parley.CodeConflict}
		got := visitor.expectRefusal()
		got.Message = ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if got := fmt.Sprint(string(w.stored(id)[1].Body)); got != string(d.Body) {
			t.Error("the first text did not stand")
		}
	})
}
