package broker

import (
	"bytes"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley/internal/crash"
)

// hook is where the engine asks and we decide. It is the only one attached:
// the engine takes the yes of any hook.
type hook struct {
	mqtt.HookBase
	broker *Broker
}

func (h *hook) ID() string { return "parley" }

func (h *hook) Provides(b byte) bool {
	return bytes.Contains([]byte{
		mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnSessionEstablish, mqtt.OnSessionEstablished,
		mqtt.OnACLCheck, mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnPublish,
	}, []byte{b})
}

// sessionOf returns the session of a client's connection; nil before login and
// for placeholders.
func sessionOf(cl *mqtt.Client) *session {
	c, ok := cl.Net.Conn.(*conn)
	if !ok {
		return nil
	}
	return c.session.Load()
}

// OnConnect decides about CONNECT. An error from here sends no CONNACK, so the
// refusal is written first.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c := cl.Net.Conn.(*conn)
	no := h.login(cl, c, pk)
	if no == nil {
		return nil
	}
	h.broker.stats.refusedConnects.Add(1)
	c.closeCode.Store(no.closeCode)
	reason := no.v5
	if pk.ProtocolVersion < 5 {
		reason = no.v3
	}
	_ = h.broker.engine.SendConnack(cl, reason, false, nil)
	return no.v5
}

// login decides in a goroutine of its own: the stack that it needs would stay
// with the connection for as long as it lives.
func (h *hook) login(cl *mqtt.Client, c *conn, pk packets.Packet) *refused {
	type outcome struct {
		no    *refused
		panic any
	}
	done := make(chan outcome, 1)
	go func() {
		o := outcome{no: &refusedForNow}
		defer func() {
			o.panic = recover() // goes on where it is caught
			done <- o
		}()
		o.no = h.broker.login(cl, c, pk)
	}()
	o := <-done
	if o.panic != nil {
		panic(o.panic)
	}
	return o.no
}

// OnConnectAuthenticate says yes to those whom OnConnect let in.
func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, _ packets.Packet) bool {
	return sessionOf(cl) != nil
}

// OnSessionEstablish makes the engine tell the truth about session present: it
// answers whether it knows a client of that identifier, so it is given one
// exactly when the store had a session.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	clients := h.broker.engine.Clients
	clients.Delete(cl.ID)
	if s := sessionOf(cl); s != nil && s.present {
		clients.Add(h.broker.engine.NewClient(nil, engineListener, cl.ID, false))
	}
}

// OnSessionEstablished starts deliveries, after CONNACK.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	if s := sessionOf(cl); s != nil {
		s.start()
	}
}

// OnACLCheck lets every publish through to OnPublish, which refuses in words
// that 3.1.1 clients understand too. The engine itself delivers nothing to
// anyone.
func (h *hook) OnACLCheck(_ *mqtt.Client, _ string, write bool) bool { return write }

// OnPacketRead sees every packet before the engine does.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	s := sessionOf(cl)
	if s == nil {
		return pk, nil // CONNECT
	}
	switch pk.FixedHeader.Type {
	case packets.Puback:
		s.acknowledged(pk.PacketID)
		return pk, nil
	case packets.Disconnect:
		s.goodbye(pk)
		return pk, nil
	}
	if reason, bad := misuse(pk); bad {
		s.disconnect(violation(reason))
		return pk, packets.ErrRejectPacket
	}
	if asks(pk) {
		s.ask(pk)
		return nothing(), nil
	}
	return pk, nil
}

// asks reports whether pk is a sound SUBSCRIBE or UNSUBSCRIBE. The engine gets
// none of them to see: it would answer from its read loop, and its own index
// would keep the filters of devices that are away for ever. It ends connections
// that send unsound ones.
func asks(pk packets.Packet) bool {
	switch pk.FixedHeader.Type {
	case packets.Subscribe:
		return pk.SubscribeValidate() == packets.CodeSuccess
	case packets.Unsubscribe:
		return pk.UnsubscribeValidate() == packets.CodeSuccess
	}
	return false
}

// nothing returns a packet that the engine takes and does nothing about: an
// acknowledgement of what it does not know to be in flight.
func nothing() packets.Packet {
	return packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}}
}

// misuse finds what the engine would ignore, downgrade or take on.
func misuse(pk packets.Packet) (packets.Code, bool) {
	switch pk.FixedHeader.Type {
	case packets.Publish:
		switch {
		case pk.FixedHeader.Qos > 1:
			return packets.ErrQosNotSupported, true
		case pk.Properties.TopicAliasFlag:
			return packets.ErrTopicAliasInvalid, true
		case !mqtt.IsValidFilter(pk.TopicName, true):
			return packets.ErrTopicNameInvalid, true
		}
	case packets.Subscribe:
		if len(pk.Properties.SubscriptionIdentifier) > 0 {
			return packets.ErrSubscriptionIdentifiersNotSupported, true
		}
	case packets.Pubrec, packets.Pubrel, packets.Pubcomp, packets.Auth, packets.Connack, packets.Suback, packets.Unsuback, packets.Pingresp:
		return packets.ErrProtocolViolation, true
	}
	return packets.Code{}, false
}

// OnPublish hands the packet to the connection's queue and tells the engine to
// forget it: the acknowledgement comes from us, when the message is durable.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if s := sessionOf(cl); s != nil {
		crash.At(crash.PublishRead)
		s.publish(pk)
		crash.At(crash.PublishQueued)
	}
	return pk, packets.ErrRejectPacket
}

// OnPacketEncode writes our limits into CONNACK.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	s := sessionOf(cl)
	if s == nil {
		if cl.Properties.ProtocolVersion < 5 && pk.ReasonCode >= packets.ErrUnspecifiedError.Code {
			identifier := pk.ReasonCode == packets.ErrClientIdentifierNotValid.Code
			pk.ReasonCode = refusedWill.v3.Code // of the engine's own checks; 3.1.1 has codes up to 5 only
			if identifier {
				pk.ReasonCode = refusedIdentifier.v3.Code
			}
		}
		return pk
	}
	if pk.FixedHeader.Type == packets.Connack {
		announce(&pk.Properties)
		if kept := uint32(s.expiry.Load() / int64(time.Second)); kept < cl.Properties.Props.SessionExpiryInterval {
			pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = kept, true
		}
	}
	return pk
}

// announce tells an MQTT 5 client the limits.
func announce(p *packets.Properties) {
	p.MaximumPacketSize = MaxPacketBytes
	p.SubIDAvailable, p.SubIDAvailableFlag = 0, true
	p.SharedSubAvailable, p.SharedSubAvailableFlag = 0, true
}
