package broker_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
)

// badPublish is one that is refused for good.
type badPublish struct {
	name    string
	id      string // of the message, where it has a valid one
	payload string
	code    parley.Code
	reason  byte
	change  func(*packets.Packet)
}

func badPublishes() []badPublish {
	text := func(id, text string) string { return string(payloadOf(parley.NewText(id, text))) }
	long := strings.Repeat("x", 64)
	return []badPublish{
		{name: "not UTF-8", id: "msg_utf8", payload: `{"id":"msg_utf8","type":"text","body":{"text":"` + canary + "\xff\xfe" + `"}}`, code: parley.CodeInvalid, reason: 0x99},
		{name: "unknown type", id: "msg_type", payload: `{"id":"msg_type","type":"hologram","body":{}}`, code: parley.CodeInvalid, reason: 0x99},
		{name: "control type", id: "msg_control", payload: `{"id":"msg_control","type":"closed","body":{"by":"me"}}`, code: parley.CodeInvalid, reason: 0x99},
		{name: "malformed JSON", payload: `{"id":"msg_json","type":"text`, code: parley.CodeInvalid, reason: 0x99},
		{name: "not an object", payload: `[1,2]`, code: parley.CodeInvalid, reason: 0x99},
		{name: "empty payload", payload: ``, code: parley.CodeInvalid, reason: 0x99},
		{name: "no id", payload: `{"type":"text","body":{"text":"` + canary + `"}}`, code: parley.CodeInvalid, reason: 0x99},
		{name: "short id", payload: text("1234567", canary), code: parley.CodeInvalid, reason: 0x99},
		{name: "long id", payload: text(long+"x", canary), code: parley.CodeInvalid, reason: 0x99},
		{name: "id with a slash", payload: text("msg_/../x", canary), code: parley.CodeInvalid, reason: 0x99},
		{name: "empty text", id: "msg_empty", payload: text("msg_empty", ""), code: parley.CodeInvalid, reason: 0x99},
		{name: "body of 100 KiB", id: "msg_large", payload: text("msg_large", strings.Repeat("x", 100<<10)), code: parley.CodeTooLarge, reason: 0x97},
		{name: "body one byte too large", id: "msg_larger", payload: text("msg_larger", fillBody(parley.MaxBodyBytes+1)), code: parley.CodeTooLarge, reason: 0x97},
		{name: "retained", id: "msg_retained", payload: text("msg_retained", canary), code: parley.CodeInvalid, reason: 0x99,
			change: func(pk *packets.Packet) { pk.FixedHeader.Retain = true }},
		{name: "QoS 0", id: "msg_qos_0", payload: text("msg_qos_0", canary), code: parley.CodeInvalid,
			change: func(pk *packets.Packet) { pk.FixedHeader.Qos, pk.PacketID = 0, 0 }},
	}
}

// fillBody returns a text whose body has n bytes as JSON.
func fillBody(n int) string { return strings.Repeat("x", n-len(`{"text":""}`)) }

// Every bad publish is refused with its message id on the errors topic, nothing
// is stored, and neither this connection nor another one is disturbed.
func TestBadPublishesAreRefused(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who, bystander := w.visitor(), w.connect(t, w.visitor(), version)
		c := w.resume(t, who, version)
		c.follow(c.errorsTopic())
		id := w.conversation(who, 1)
		cases := badPublishes()
		var want []refusal
		for _, bad := range cases {
			pk := publish(c.sendTopic(id), c.nextID(), []byte(bad.payload))
			if bad.change != nil {
				bad.change(&pk)
			}
			c.send(pk)
			if pk.FixedHeader.Qos > 0 {
				ack := c.ackOf(pk.PacketID)
				if version == 5 && (ack.ReasonCode != bad.reason || userProperty(ack, "code") != string(bad.code)) {
					t.Errorf("%s: PUBACK %#x %v, want %#x", bad.name, ack.ReasonCode, ack.Properties.User, bad.reason)
				}
			}
			r := c.expectRefusal()
			r.Message = ""
			want = append(want, refusal{ID: bad.id, Topic: c.sendTopic(id), Code: bad.code})
			if diff := cmp.Diff(want[len(want)-1], r); diff != "" {
				t.Errorf("%s: %s", bad.name, diff)
			}
		}
		if n := len(w.texts(id)); n != 1 {
			t.Errorf("%d messages stored, want 1", n)
		}
		c.expectAck(c.post(id, draft()))
		bystander.expectAck(bystander.post(parley.NewID(parley.PrefixConversation), draft()))
		if n := len(w.streamOf(parley.ErrorsOf(w.site.ID, who.Identity.User, who.Identity.Device))); n != len(cases) {
			t.Errorf("%d refusals stored, want %d", n, len(cases))
		}
	})
}

func TestRefusalIsThereAfterReconnect(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		c := w.connectWith(t, who, func() login { l := as(who, version).persistent(); l.hold = true; return l }())
		c.follow(c.errorsTopic())
		c.ackOf(c.publish(c.sendTopic("cnv_mine"), []byte(`{"id":"msg_bad_1","type":"x"}`)))
		c.expectRefusal() // not acknowledged
		c.hangUp()
		w.restart()
		c = w.resume(t, who, version)
		if r := c.expectRefusal(); r.ID != "msg_bad_1" || r.Code != parley.CodeInvalid {
			t.Errorf("refusal %+v", r)
		}
	})
}

func TestRefusalsOfRights(t *testing.T) {
	w := newWorld(t)
	owner := w.visitor()
	queued := w.conversation(owner, 1)
	taken := w.conversation(owner, 1)
	closed := w.conversation(owner, 1)
	colleague, agent := w.agent("hanmeimei"), w.agent("lilei")
	w.claim(colleague, taken)
	w.claim(agent, closed)
	w.finish(agent, closed)
	stranger := w.visitorOf(w.other, "")
	for _, test := range []struct {
		name   string
		who    parley.Credentials
		topic  parley.Topic
		code   parley.Code
		reason byte
	}{
		{"another visitor's conversation", w.visitor(), parley.ConversationTopic(parley.TopicSend, w.site.ID, queued), parley.CodeNotFound, 0x87},
		{"an agent in what is not claimed", agent, parley.ConversationTopic(parley.TopicSend, w.site.ID, queued), parley.CodeForbidden, 0x87},
		{"an agent in a colleague's", agent, parley.ConversationTopic(parley.TopicSend, w.site.ID, taken), parley.CodeNotFound, 0x87},
		{"an agent in what does not exist", agent, parley.ConversationTopic(parley.TopicSend, w.site.ID, "cnv_none"), parley.CodeNotFound, 0x87},
		{"an agent in what is closed", agent, parley.ConversationTopic(parley.TopicSend, w.site.ID, closed), parley.CodeClosed, 0x83},
		{"another site", stranger, parley.ConversationTopic(parley.TopicSend, w.site.ID, queued), parley.CodeForbidden, 0x87},
		{"another site's new conversation", stranger, parley.ConversationTopic(parley.TopicSend, w.site.ID, "cnv_new"), parley.CodeForbidden, 0x87},
		{"a reserved topic", owner, parley.Topic{Kind: parley.TopicVisits, Site: w.site.ID, User: owner.Identity.User}, parley.CodeInvalid, 0x99},
		{"notes by a visitor", owner, parley.ConversationTopic(parley.TopicNotesSend, w.site.ID, queued), parley.CodeForbidden, 0x87},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(w.stored(test.topic.Conversation))
			c := w.connect(t, test.who, 5)
			c.follow(c.errorsTopic())
			d := draft()
			ack := c.ackOf(c.publish(test.topic.String(), payloadOf(d)))
			if ack.ReasonCode != test.reason || userProperty(ack, "code") != string(test.code) {
				t.Errorf("PUBACK %#x %v, want %#x %s", ack.ReasonCode, ack.Properties.User, test.reason, test.code)
			}
			if r := c.expectRefusal(); r.ID != d.ID || r.Code != test.code || r.Retry {
				t.Errorf("refusal %+v", r)
			}
			if n := len(w.stored(test.topic.Conversation)); n != before {
				t.Errorf("%d entries, before %d", n, before)
			}
		})
	}
}

// A topic that does not exist is a refusal, also where MQTT has plans with it.
func TestTopicsThatDoNotExistAreRefused(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		c := w.connect(t, w.visitor(), version)
		c.follow(c.errorsTopic())
		for _, topic := range []string{
			"$SYS/broker/version", "$sys/x", "$SYS", "$SY", "$", "$share", "$share/g/" + c.sendTopic("cnv_mine"), "p1", "/", "p2/" + w.site.ID + "/c/cnv_mine/send",
		} {
			for _, qos := range []byte{0, 1} {
				pk := publish(topic, 0, payloadOf(draft()))
				if pk.FixedHeader.Qos = qos; qos == 1 {
					pk.PacketID = c.nextID()
				}
				c.send(pk)
				if qos == 1 {
					if ack := c.ackOf(pk.PacketID); version == 5 && ack.ReasonCode != 0x99 {
						t.Errorf("%s: PUBACK %#x", topic, ack.ReasonCode)
					}
				}
				if r := c.expectRefusal(); r.Code != parley.CodeInvalid || r.Topic != topic {
					t.Errorf("%s: refusal %+v", topic, r)
				}
			}
		}
		c.expectAck(c.post("cnv_mine", draft())) // on the same connection
		if n := len(w.texts("cnv_mine")); n != 1 {
			t.Errorf("%d messages stored, want 1", n)
		}
	})
}

func TestLargestBodyIsStored(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		c := w.connect(t, w.visitor(), version)
		c.followMessages()
		id, d := parley.NewID(parley.PrefixConversation), parley.NewText(draft().ID, fillBody(parley.MaxBodyBytes))
		if len(d.Body) != parley.MaxBodyBytes {
			t.Fatalf("the body has %d bytes", len(d.Body))
		}
		c.expectAck(c.post(id, d))
		c.expectEntry(c.messagesTopic(id))
		if e := c.expectEntry(c.messagesTopic(id)); string(e.Body) != string(d.Body) {
			t.Error("another body came back")
		}
	})
}

// What breaks the protocol ends the connection that does it, stores nothing and
// disturbs nobody.
func TestBrokenPublishesEndTheConnection(t *testing.T) {
	topic := parley.ConversationTopic(parley.TopicSend, "site_one", "cnv_mine").String()
	alias := func(pk *packets.Packet) { pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = 1, true }
	for _, test := range []struct {
		name   string
		topic  string
		size   int
		reason packets.Code // zero: malformed, closed without a word
		v5     bool
		change func(*packets.Packet)
	}{
		{name: "NUL in the topic", topic: topic + "\x00"},
		{name: "topic is not UTF-8", topic: topic + "\xff"},
		{name: "multi-level wildcard", topic: "p1/site_one/c/#", reason: packets.ErrTopicNameInvalid},
		{name: "single-level wildcard", topic: "p1/site_one/c/+/send", reason: packets.ErrTopicNameInvalid},
		{name: "wildcard below $SYS", topic: "$SYS/#", reason: packets.ErrTopicNameInvalid},
		{name: "empty topic", topic: "", reason: packets.ErrProtocolViolationNoTopic},
		{name: "above the maximum packet size", topic: topic, size: broker.MaxPacketBytes},
		{name: "topic alias", topic: topic, reason: packets.ErrTopicAliasInvalid, v5: true, change: alias},
		{name: "topic alias alone", topic: "", reason: packets.ErrTopicAliasInvalid, v5: true, change: alias},
		{name: "QoS 2", topic: topic, reason: packets.ErrQosNotSupported, change: func(pk *packets.Packet) { pk.FixedHeader.Qos = 2 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			versions(t, func(t *testing.T, version byte) {
				if test.v5 && version < 5 {
					return // 3.1.1 has no such thing
				}
				w := newWorld(t)
				bystander := w.connect(t, w.visitor(), version)
				c := w.connect(t, w.visitor(), version)
				pk := publish(test.topic, 1, payloadOf(draft()))
				if test.size > 0 {
					pk.Payload = append(pk.Payload, make([]byte, test.size)...)
				}
				if test.change != nil {
					test.change(&pk)
				}
				c.send(pk)
				if test.reason.Code == 0 {
					c.expectEnd()
				} else {
					c.expectDisconnect(test.reason)
				}
				c.expectNone("a PUBACK", func(pk packets.Packet) bool { return pk.FixedHeader.Type == packets.Puback })
				if n := len(w.stored("cnv_mine")); n != 0 {
					t.Errorf("%d entries stored", n)
				}
				bystander.expectAck(bystander.post(parley.NewID(parley.PrefixConversation), draft()))
			})
		})
	}
}

func TestPacketOfTheMaximumSizeIsReadAndNoLargerOne(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.visitor(), 5)
	c.follow(c.errorsTopic())
	pk := publish(c.sendTopic("cnv_mine"), 1, nil)
	overhead := len(encode(pk, 5)) + 2 // the length needs three bytes instead of one
	pk.Payload = make([]byte, broker.MaxPacketBytes-overhead)
	if n := len(encode(pk, 5)); n != broker.MaxPacketBytes {
		t.Fatalf("the packet has %d bytes", n)
	}
	c.send(pk)
	if ack := c.ackOf(1); ack.ReasonCode != 0x99 {
		t.Errorf("PUBACK %#x", ack.ReasonCode)
	}
	pk.Payload = append(pk.Payload, 0)
	c.send(pk)
	c.expectEnd()
}

// The PUBACK and the refusal were lost with the connection. Whoever sends the
// draft again on a clean one, whose errors start at the head, is told again.
func TestRepeatedRefusalIsToldAgain(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := parley.NewID(parley.PrefixConversation)
	bad := []byte(`{"id":"msg_00000001","type":"poem","body":{"text":"x"}}`)
	for range 2 {
		c := w.connect(t, who, 4)
		c.follow(c.errorsTopic())
		c.ackOf(c.publish(c.sendTopic(id), bad))
		if e := c.expectEntry(c.errorsTopic()); e.Type != parley.EntryRefusal {
			t.Errorf("errors told %+v", e)
		}
		c.hangUp()
		awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
	}
}

// A draft is refused, its PUBACK is lost, and when it is sent again it would be
// taken: it stays refused, because what its sender said behind it is stored.
func TestRefusalStands(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		agent := w.agent("lilei")
		id := w.conversation(w.visitor(), 1)
		c := w.connect(t, agent, version)
		c.follow(c.errorsTopic())
		refuse := func(d parley.Draft, code parley.Code) {
			t.Helper()
			c.ackOf(c.post(id, d))
			if r := c.expectRefusal(); r.ID != d.ID || r.Code != code {
				t.Errorf("refusal %+v, want %s of %s", r, code, d.ID)
			}
		}
		early := draft()
		refuse(early, parley.CodeForbidden)
		w.claim(agent, id)
		refuse(early, parley.CodeForbidden)
		twice := draft()
		c.expectAck(c.post(id, twice))
		refuse(parley.NewText(twice.ID, "something else"), parley.CodeConflict)
		for _, end := range []func(){func() {}, w.restart} {
			c.hangUp()
			end()
			c = w.connect(t, agent, version)
			c.follow(c.errorsTopic())
			c.expectAck(c.post(id, draft()))
			refuse(early, parley.CodeForbidden)
			c.expectAck(c.post(id, twice)) // of which the first stands
			c.expectAck(c.post(id, draft()))
		}
		if n := len(w.texts(id)); n != 1+1+4 {
			t.Errorf("%d messages stored", n)
		}
	})
}
