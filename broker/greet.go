package broker

import (
	"errors"
	"fmt"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

var errRefused = errors.New("connect refused")

// greet reads CONNECT, decides about it, answers, and starts what the device came
// back for.
func (b *Broker) greet(c *conn) error {
	pk, err := b.readPacket(c, 0)
	if err != nil {
		return fmt.Errorf("read connect: %w", err)
	}
	cl := b.engine.NewClient(c, "", "", false)
	cl.ParseConnect("", *pk)
	if no := b.welcome(cl, c, pk); no != nil {
		b.stats.refusedConnects.Add(1)
		c.closeCode.Store(no.closeCode)
		reason := no.v5
		if pk.ProtocolVersion < 5 {
			reason = no.v3
		}
		_ = b.engine.SendConnack(cl, reason, false, nil)
		return fmt.Errorf("%w: %s", errRefused, reason.Reason)
	}
	s := c.session.Load()
	if err := b.engine.SendConnack(cl, packets.CodeSuccess, s.present, s.announcement()); err != nil {
		return fmt.Errorf("write connack: %w", err)
	}
	c.client = cl
	c.keepAlive(time.Duration(cl.State.Keepalive) * time.Second)
	s.start()
	return nil
}

// welcome decides about CONNECT. It returns how to refuse, or nil.
func (b *Broker) welcome(cl *mqtt.Client, c *conn, pk *packets.Packet) *refused {
	code := pk.ConnectValidate()
	switch {
	case pk.Connect.WillFlag:
		return &refusedWill // anyone could speak in anyone's name: wills pass no check
	case code == packets.ErrClientIdentifierNotValid:
		return &refusedIdentifier
	case code != packets.CodeSuccess:
		return malformed(code)
	case pk.ProtocolVersion < 4:
		return &refusedVersion
	}
	return b.login(cl, c, pk)
}

// announcement is what CONNACK tells an MQTT 5 client of the limits.
func (s *session) announcement() *packets.Properties {
	p := &packets.Properties{
		MaximumPacketSize: MaxPacketBytes,
		SubIDAvailable:    0, SubIDAvailableFlag: true,
		SharedSubAvailable: 0, SharedSubAvailableFlag: true,
	}
	if kept := uint32(s.expiry.Load() / int64(time.Second)); kept < s.client.Properties.Props.SessionExpiryInterval {
		p.SessionExpiryInterval, p.SessionExpiryIntervalFlag = kept, true
	}
	return p
}
