package broker_test

import (
	"encoding/json"
	"fmt"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// What a device does with Parley's topics, on top of the bare client.

// publish sends a payload at QoS 1 and returns its packet identifier.
func (c *client) publish(topic string, payload []byte) uint16 {
	c.t.Helper()
	id := c.nextID()
	c.send(publish(topic, id, payload))
	return id
}

// post sends a draft to a conversation and returns its packet identifier.
func (c *client) post(conversation string, d parley.Draft) uint16 {
	c.t.Helper()
	return c.publish(c.sendTopic(conversation), payloadOf(d))
}

func (c *client) sendTopic(conversation string) string {
	return parley.ConversationTopic(parley.TopicSend, c.who.Site, conversation).String()
}

func (c *client) messagesTopic(conversation string) string {
	return parley.ConversationTopic(parley.TopicMessages, c.who.Site, conversation).String()
}

func (c *client) stateTopic(conversation string) string {
	return parley.ConversationTopic(parley.TopicState, c.who.Site, conversation).String()
}

func (c *client) errorsTopic() string {
	return parley.Topic{Kind: parley.TopicErrors, Site: c.who.Site, User: c.who.User, Device: c.who.Device}.String()
}

// expectAck takes the PUBACK of a publish and fails unless it says success.
func (c *client) expectAck(id uint16) packets.Packet {
	c.t.Helper()
	pk := c.ackOf(id)
	if pk.ReasonCode != 0 {
		c.t.Fatalf("PUBACK %d says %#x", id, pk.ReasonCode)
	}
	return pk
}

func (c *client) ackOf(id uint16) packets.Packet {
	c.t.Helper()
	return c.await(fmt.Sprintf("PUBACK %d", id), func(pk packets.Packet) bool {
		return pk.FixedHeader.Type == packets.Puback && pk.PacketID == id
	})
}

// subscribe asks for filters at QoS 1 and returns the answers.
func (c *client) subscribe(filters ...string) []byte {
	c.t.Helper()
	return c.subscribeAt(1, filters...)
}

func (c *client) subscribeAt(qos byte, filters ...string) []byte {
	c.t.Helper()
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: c.nextID()}
	for _, f := range filters {
		pk.Filters = append(pk.Filters, packets.Subscription{Filter: f, Qos: qos})
	}
	c.send(pk)
	return c.expect(packets.Suback).ReasonCodes
}

// follow subscribes and fails unless everything is granted.
func (c *client) follow(filters ...string) {
	c.t.Helper()
	for i, code := range c.subscribe(filters...) {
		if code != 1 {
			c.t.Fatalf("SUBSCRIBE %s answered with %#x", filters[i], code)
		}
	}
}

func (c *client) unsubscribe(filters ...string) packets.Packet {
	c.t.Helper()
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe, Qos: 1}, PacketID: c.nextID()}
	for _, f := range filters {
		pk.Filters = append(pk.Filters, packets.Subscription{Filter: f})
	}
	c.send(pk)
	return c.expect(packets.Unsuback)
}

// followMessages subscribes to every conversation of the user.
func (c *client) followMessages() {
	c.t.Helper()
	c.follow(c.messagesTopic(parley.Any))
}

// expectOn takes the next delivery on a topic.
func (c *client) expectOn(topic string) packets.Packet {
	c.t.Helper()
	return c.await("a delivery on "+topic, func(pk packets.Packet) bool { return on(pk, topic) })
}

func on(pk packets.Packet, topic string) bool {
	return pk.FixedHeader.Type == packets.Publish && pk.TopicName == topic
}

// expectEntry takes the next entry delivered on a topic.
func (c *client) expectEntry(topic string) parley.Entry {
	c.t.Helper()
	e, _, err := parley.DecodeEntry("", c.expectOn(topic).Payload)
	must(c.t, err)
	return e
}

// expectTexts takes deliveries of a conversation until the text messages with
// these ids have come, in this order, each seq once and without holes.
func (c *client) expectTexts(conversation string, ids []string) {
	c.t.Helper()
	last := int64(0)
	for n := 0; n < len(ids); {
		e := c.expectEntry(c.messagesTopic(conversation))
		if last > 0 && e.Seq != last+1 {
			c.t.Fatalf("seq %d came after %d", e.Seq, last)
		}
		last = e.Seq
		if e.Type != parley.EntryText {
			continue
		}
		if e.ID != ids[n] {
			c.t.Fatalf("seq %d is %s, want %s", e.Seq, e.ID, ids[n])
		}
		n++
	}
}

// expectState takes states of a conversation until one matches.
func (c *client) expectState(conversation string, match func(parley.State) bool) packets.Packet {
	c.t.Helper()
	for {
		pk := c.expectOn(c.stateTopic(conversation))
		var s parley.State
		if json.Unmarshal(pk.Payload, &s) == nil && match(s) {
			return pk
		}
	}
}

// refusal is the body of an entry on the errors topic.
type refusal struct {
	ID      string      `json:"id"`
	Topic   string      `json:"topic"`
	Code    parley.Code `json:"code"`
	Retry   bool        `json:"retry"`
	Message string      `json:"message"`

	RetryAfter int64 `json:"retryAfter"`

	Current *parley.Register `json:"current"`
}

// expectRefusal takes the next refusal on the device's errors topic.
func (c *client) expectRefusal() refusal {
	c.t.Helper()
	e := c.expectEntry(c.errorsTopic())
	var r refusal
	must(c.t, json.Unmarshal(e.Body, &r))
	if e.Type != parley.EntryRefusal || r.Message == "" {
		c.t.Fatalf("not a refusal: %s %s", e.Type, e.Body)
	}
	return r
}
