package broker

import (
	"errors"
	"fmt"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

var (
	errRefused   = errors.New("connect refused")
	errAbandoned = errors.New("client has left before its turn")
)

// hear reads CONNECT, which is dealt with when it is the connection's turn.
func (b *Broker) hear(c *conn) error {
	_, body, err := c.readRaw()
	if err != nil {
		return fmt.Errorf("read connect: %w", err)
	}
	c.hello = body
	if !c.more() {
		c.release()
	}
	return nil
}

// decodeHello decodes what hear has read.
func (b *Broker) decodeHello(c *conn) (*packets.Packet, error) {
	pk := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect, Remaining: len(c.hello)}}
	err := b.decode(c, pk, c.hello)
	c.hello = nil
	return pk, err
}

func (b *Broker) newClient(c *conn, pk *packets.Packet) *mqtt.Client {
	cl := b.engine.NewClient(c, "", "", false)
	cl.ParseConnect("", *pk)
	return cl
}

// greet decides about CONNECT, answers, and starts what the device came back for.
func (b *Broker) greet(c *conn) error {
	if gone(c.socket) {
		c.left.Store(true)
		b.stats.abandoned.Add(1)
		return errAbandoned
	}
	pk, err := b.decodeHello(c)
	if err != nil {
		return fmt.Errorf("read connect: %w", err)
	}
	cl := b.newClient(c, pk)
	if no := b.welcome(cl, c, pk); no != nil {
		b.stats.refusedConnects.Add(1)
		return b.refuse(cl, c, no)
	}
	s := c.session.Load()
	if err := b.engine.SendConnack(cl, packets.CodeSuccess, s.present, s.announcement()); err != nil {
		return fmt.Errorf("write connack: %w", err)
	}
	c.client = cl
	c.keepAlive(time.Duration(cl.State.Keepalive) * time.Second)
	s.start()
	b.gate.loggedIn(c)
	return nil
}

// refuse answers CONNECT with a no.
func (b *Broker) refuse(cl *mqtt.Client, c *conn, no *refused) error {
	c.closeCode.Store(no.closeCode)
	reason := no.v5
	if cl.Properties.ProtocolVersion < 5 {
		reason = no.v3
	}
	_ = b.engine.SendConnack(cl, reason, false, no.properties(cl))
	return fmt.Errorf("%w: %s", errRefused, reason.Reason)
}

// welcome decides about CONNECT. It returns how to refuse, or nil.
func (b *Broker) welcome(cl *mqtt.Client, c *conn, pk *packets.Packet) *refused {
	if no := b.mayTry(c); no != nil {
		return no
	}
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
	no := b.login(cl, c, pk)
	if no != nil && no.failure {
		b.connects.failed(c)
	}
	return no
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
