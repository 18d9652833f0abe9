package device

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	mqttpackets "github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/parley-chat/parley"
)

var (
	errEnded = errors.New("connection ended")
	errSlow  = errors.New("no answer in time")
)

// pahoOptions turn off everything that paho does by itself after a connection
// has ended: what is sent again is our outbox's business.
func pahoOptions(e Endpoint, clientID, token string, lost func()) *mqtt.ClientOptions {
	o := mqtt.NewClientOptions().
		AddBroker("tcp://" + e.MQTT).
		SetClientID(clientID).
		SetPassword(token).
		SetUsername(clientID). // paho sends no password without a user name
		SetProtocolVersion(uint(MQTT311)).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetConnectTimeout(connectTimeout).
		SetKeepAlive(keepAlive * time.Second).
		SetPingTimeout(3 * time.Second).
		SetWriteTimeout(connectTimeout).
		SetConnectionLostHandler(func(mqtt.Client, error) { lost() })
	if e.Vigil > 0 {
		o.SetConnectTimeout(e.Vigil).SetKeepAlive(2 * e.Vigil).SetPingTimeout(e.Vigil).SetWriteTimeout(2 * e.Vigil)
	}
	return o
}

// pahoRefused reports whether err is paho's word for a token that is not taken.
func pahoRefused(err error) bool {
	return errors.Is(err, mqttpackets.ErrorRefusedNotAuthorised) || errors.Is(err, mqttpackets.ErrorRefusedBadUsernameOrPassword)
}

// await waits for a token of paho.
func await(ctx context.Context, token mqtt.Token, ended <-chan struct{}) error {
	select {
	case <-token.Done():
		return token.Error()
	case <-ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(4 * connectTimeout): // some tokens never complete after a cut
		return errSlow
	}
}

// hand lets paho take a packet, and returns its token. When the connection has
// just ended, paho waits for as long as it may for somebody to write it: we do
// not, so that we measure the server and not that. Who calls waits for handing
// in the end.
func hand(ctx context.Context, handing *sync.WaitGroup, ended <-chan struct{}, give func() mqtt.Token) (mqtt.Token, error) {
	taken := make(chan mqtt.Token, 1)
	handing.Go(func() { taken <- give() })
	select {
	case token := <-taken:
		return token, nil
	case <-ended:
		return nil, errEnded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type pahoFlight struct {
	id    string
	token mqtt.Token
}

// servePaho sends over one connection until it ends.
func (p *Publisher) servePaho(ctx context.Context, token string) error {
	ended, lost := onceClosed()
	options := pahoOptions(p.endpoint, p.Session.ClientID(), token, lost).SetCleanSession(true)
	client := mqtt.NewClient(options)
	defer client.Disconnect(0)
	if err := await(ctx, client.Connect(), ended); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	flights := make(chan pahoFlight, p.window) // never full: take keeps to the window
	var settler sync.WaitGroup
	settler.Add(1)
	go func() {
		defer settler.Done()
		for f := range flights {
			if await(ctx, f.token, ended) != nil {
				lost() // nothing behind it is worth waiting for; the next connection sends it again
				continue
			}
			p.settle(f.id, true, 0)
		}
	}()
	defer settler.Wait()
	defer close(flights)
	topic := p.Session.Topic(parley.TopicSend, p.Conversation)
	p.outbox.rewind()
	for {
		d, again, ok := p.outbox.take(p.window)
		if !ok {
			select {
			case <-p.outbox.changed:
				continue
			case <-ended:
				return errEnded
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		payload, err := p.note(d, again)
		if err != nil {
			return err
		}
		token, err := hand(ctx, &p.handing, ended, func() mqtt.Token { return client.Publish(topic, 1, false, payload) })
		if err != nil {
			return err
		}
		flights <- pahoFlight{d.ID, token}
	}
}

// servePaho receives over one connection until it ends.
func (d *Subscriber) servePaho(ctx context.Context, token string) error {
	ended, lost := onceClosed()
	options := pahoOptions(d.endpoint, d.Session.ClientID(), token, lost).SetCleanSession(false).
		// Set before Connect: a resumed session delivers before any SUBSCRIBE.
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			if err := d.show(m.Topic(), m.Payload()); err != nil {
				d.trouble.store(err)
			}
		})
	client := mqtt.NewClient(options)
	defer client.Disconnect(0)
	if err := await(ctx, client.Connect(), ended); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	subscription, err := hand(ctx, &d.handing, ended, func() mqtt.Token { return client.Subscribe(d.filter(), 1, nil) })
	if err == nil {
		err = await(ctx, subscription, ended)
	}
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if sub, ok := subscription.(*mqtt.SubscribeToken); ok && sub.Result()[d.filter()] >= 0x80 {
		return errors.New("subscription refused")
	}
	d.grant()
	select {
	case <-ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// onceClosed returns a channel and the function that closes it, which may be
// called again.
func onceClosed() (<-chan struct{}, func()) {
	c := make(chan struct{})
	return c, sync.OnceFunc(func() { close(c) })
}
