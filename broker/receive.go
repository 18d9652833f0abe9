package broker

import (
	"errors"
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley/internal/crash"
)

// errGoodbye ends a connection whose client has said DISCONNECT.
var errGoodbye = errors.New("client has disconnected")

var pingresp = []byte{packets.Pingresp << 4, 0}

// receive deals with the packets that have come in. The engine does not see them:
// its own handling would acknowledge before anything is durable, answer a
// SUBSCRIBE in the loop that reads, and keep the filters of devices that are away
// for ever.
func (b *Broker) receive(c *conn) error {
	s := c.session.Load()
	for c.more() {
		pk, err := b.readPacket(c, s.version)
		if err == nil {
			err = s.receive(pk)
		}
		var bad packets.Code
		if errors.As(err, &bad) {
			s.disconnect(violation(bad))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// receive deals with one packet. A packets.Code says how it breaks the protocol.
func (s *session) receive(pk *packets.Packet) error {
	switch pk.FixedHeader.Type {
	case packets.Publish:
		if reason := publishMisuse(pk); reason != packets.CodeSuccess {
			return reason
		}
		crash.At(crash.PublishRead)
		s.publish(pk)
		crash.At(crash.PublishQueued)
	case packets.Puback:
		s.acknowledged(pk.PacketID)
	case packets.Subscribe:
		if reason := pk.SubscribeValidate(); reason != packets.CodeSuccess {
			return reason
		}
		if len(pk.Properties.SubscriptionIdentifier) > 0 {
			return packets.ErrSubscriptionIdentifiersNotSupported
		}
		s.ask(pk)
	case packets.Unsubscribe:
		if reason := pk.UnsubscribeValidate(); reason != packets.CodeSuccess {
			return reason
		}
		s.ask(pk)
	case packets.Pingreq:
		_, err := s.conn.Write(pingresp)
		return err
	case packets.Disconnect:
		return s.goodbye(pk)
	case packets.Connect:
		return packets.ErrProtocolViolationSecondConnect
	default:
		return packets.ErrProtocolViolation
	}
	return nil
}

// publishMisuse finds what no draft can be made of. A topic that is only not one of
// ours, such as $SYS, is refused like any other: nothing that clients publish gets
// past our own topics.
func publishMisuse(pk *packets.Packet) packets.Code {
	switch {
	case pk.FixedHeader.Qos > 1:
		return packets.ErrQosNotSupported
	case pk.Properties.TopicAliasFlag:
		return packets.ErrTopicAliasInvalid
	case strings.ContainsAny(pk.TopicName, "+#"):
		return packets.ErrTopicNameInvalid
	}
	return pk.PublishValidate(0)
}
