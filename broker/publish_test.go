package broker_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
)

// burst encodes one publish for each draft, with packet identifiers from 1.
func burst(topic string, all []parley.Draft, version byte) []byte {
	var b bytes.Buffer
	for i, d := range all {
		b.Write(encode(publish(topic, uint16(i+1), payloadOf(d)), version))
	}
	return b.Bytes()
}

func TestPipelinedPublishesAreAcknowledgedInOrder(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		visitor := w.connect(t, w.visitor(), version)
		id, all := parley.NewID(parley.PrefixConversation), drafts(broker.ReceiveMaximum)
		visitor.raw(burst(visitor.sendTopic(id), all, version))
		for i := range all {
			if ack := visitor.expect(packets.Puback); ack.PacketID != uint16(i+1) || ack.ReasonCode != 0 {
				t.Fatalf("acknowledgement %d is of packet %d, code %#x", i, ack.PacketID, ack.ReasonCode)
			}
		}
		if diff := cmp.Diff(idsOf(all), w.texts(id)); diff != "" {
			t.Errorf("stored (-sent +stored):\n%s", diff)
		}
	})
}

func TestPipelinedConversationsAreAcknowledgedInOrder(t *testing.T) {
	w := newWorld(t)
	visitor := w.connect(t, w.visitor(), 5)
	all := drafts(60)
	conversations := []string{parley.NewID("cnv_"), parley.NewID("cnv_"), parley.NewID("cnv_")}
	for i, d := range all {
		visitor.post(conversations[i*i%3], d)
	}
	for i := range all {
		if ack := visitor.expect(packets.Puback); ack.PacketID != uint16(i+1) {
			t.Fatalf("acknowledgement %d is of packet %d", i, ack.PacketID)
		}
	}
}

func TestMoreThanReceiveMaximumEndsTheConnection(t *testing.T) {
	w := newWorld(t)
	visitor := w.connect(t, w.visitor(), 5)
	id, all := parley.NewID(parley.PrefixConversation), drafts(broker.ReceiveMaximum+1)
	w.store.hang()
	visitor.raw(burst(visitor.sendTopic(id), all[:broker.ReceiveMaximum], 5))
	visitor.ping() // the queue is full, and the connection still read
	visitor.publish(visitor.sendTopic(id), payloadOf(all[broker.ReceiveMaximum]))
	visitor.expectDisconnect(packets.ErrReceiveMaximum)
	if n := len(w.texts(id)); n != 0 {
		t.Errorf("%d stored", n)
	}
	w.store.repair()
}

func TestFloodOfOldClientWaitsForRoom(t *testing.T) {
	w := newWorld(t)
	visitor := w.connect(t, w.visitor(), 4)
	id, all := parley.NewID(parley.PrefixConversation), drafts(1000)
	visitor.raw(burst(visitor.sendTopic(id), all, 4))
	for i := range all {
		if ack := visitor.expect(packets.Puback); ack.PacketID != uint16(i+1) {
			t.Fatalf("acknowledgement %d is of packet %d", i, ack.PacketID)
		}
	}
	if diff := cmp.Diff(idsOf(all), w.texts(id)); diff != "" {
		t.Errorf("stored (-sent +stored):\n%s", diff)
	}
}

func TestFloodOfOldClientAgainstStuckStoreIsEnded(t *testing.T) {
	w := newWorld(t)
	visitor := w.connect(t, w.visitor(), 4)
	id := parley.NewID(parley.PrefixConversation)
	w.store.hang()
	visitor.raw(burst(visitor.sendTopic(id), drafts(broker.ReceiveMaximum), 4))
	visitor.ping()
	visitor.publish(visitor.sendTopic(id), payloadOf(draft()))
	visitor.expectEnd()
	if n := len(w.texts(id)); n != 0 {
		t.Errorf("%d stored", n)
	}
	w.store.repair()
}

// A refused publish is never acknowledged as a success, and reaches nobody: the
// engine delivers a publish whose hook returns an ordinary error.
func TestRefusedPublishReachesNobody(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		owner, stranger := w.visitor(), w.connect(t, w.visitor(), version)
		id := w.conversation(owner, 1)
		reader := w.connect(t, owner, version)
		reader.follow(reader.messagesTopic(id), reader.stateTopic(id))
		reader.expectOn(reader.stateTopic(id))
		stranger.follow(stranger.errorsTopic())

		for _, topic := range []string{stranger.sendTopic(id), reader.messagesTopic(id), reader.stateTopic(id), reader.errorsTopic()} {
			ack := stranger.ackOf(stranger.publish(topic, payloadOf(draft())))
			if version == 5 && ack.ReasonCode < 0x80 {
				t.Errorf("PUBACK for %s says success", topic)
			}
			if r := stranger.expectRefusal(); r.Topic != topic {
				t.Errorf("refusal of %s, want %s", r.Topic, topic)
			}
		}
		marker := draft()
		w.record(owner, id, marker)
		reader.expectTexts(id, []string{marker.ID})
		if n := len(w.texts(id)); n != 2 {
			t.Errorf("%d messages stored, want 2", n)
		}
	})
}

func TestPublishIdentifierOfAnUnacknowledgedDelivery(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 0)
	c := w.connectWith(t, who, login{version: 5, token: who.Token, identifier: who.Identity.ClientID(), expiry: 3600, hold: true})
	c.followMessages()
	first := draft()
	c.expectAck(c.post(id, first))
	delivery := c.expectOn(c.messagesTopic(id)) // the opening
	second := draft()
	c.send(publish(c.sendTopic(id), delivery.PacketID, payloadOf(second)))
	c.expectAck(delivery.PacketID)
	c.expectTexts(id, []string{first.ID, second.ID})
	c.hangUp()

	// Nothing was acknowledged, so nothing may be forgotten.
	again := w.resume(t, who, 5)
	if e := again.expectEntry(again.messagesTopic(id)); e.Seq != 1 {
		t.Errorf("goes on at seq %d, want 1", e.Seq)
	}
	again.expectTexts(id, []string{first.ID, second.ID})
}

func TestAcknowledgementOfUnknownIdentifierIsIgnored(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		c := w.connect(t, w.visitor(), version)
		for _, id := range []uint16{1, 7, 65535} {
			c.send(puback(id))
		}
		c.ping()
		c.expectAck(c.post(parley.NewID(parley.PrefixConversation), draft()))
	})
}

func TestTerseClientsGetBareAcknowledgements(t *testing.T) {
	for name, change := range map[string]func(*packets.Packet){
		"no problem information": func(pk *packets.Packet) {
			pk.Properties.RequestProblemInfo, pk.Properties.RequestProblemInfoFlag = 0, true
		},
		"small packets": func(pk *packets.Packet) { pk.Properties.MaximumPacketSize = 60 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			l := as(w.visitor(), 5)
			l.change = change
			c, ack := w.try(t, l)
			if ack.ReasonCode != 0 {
				t.Fatalf("CONNACK %#x", ack.ReasonCode)
			}
			id := parley.NewID(parley.PrefixConversation)
			c.who = parley.Identity{Site: w.site.ID}
			d := draft()
			for range 2 { // the second has more to say
				ack = c.expectAck(c.post(id, d))
				if n := len(encode(ack, 5)); name == "no problem information" && len(ack.Properties.User) > 0 || n > 60 {
					t.Errorf("PUBACK of %d bytes with %v", n, ack.Properties.User)
				}
			}
		})
	}
}
