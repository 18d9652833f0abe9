package device

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

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
		flights <- pahoFlight{d.ID, client.Publish(topic, 1, false, payload)}
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
	subscription := client.Subscribe(d.filter(), 1, nil)
	if err := await(ctx, subscription, ended); err != nil {
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
