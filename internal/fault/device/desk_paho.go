package device

import (
	"context"
	"errors"
	"fmt"
	"sync"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// pahoDesk is a desk of the Eclipse client for MQTT 3.1.1.
type pahoDesk struct {
	headless
	client  mqtt.Client
	ended   <-chan struct{}
	handing sync.WaitGroup
}

// NewPahoDesk returns a desk of the Eclipse client, which is away. Its session is
// kept between connections.
func NewPahoDesk(ctx context.Context, e Endpoint, s *Session) (Desk, error) {
	h, err := newHeadless(ctx, Paho, e, s)
	d := &pahoDesk{headless: h}
	d.publish = d.deliver
	return d, err
}

func (d *pahoDesk) Return(ctx context.Context) error {
	token, err := d.endpoint.REST.Token(ctx, d.session)
	if err != nil {
		return err
	}
	ended, lost := onceClosed()
	options := pahoOptions(d.endpoint, d.session.ClientID(), token, lost).SetCleanSession(false).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { d.Deliver(m.Topic(), m.Payload()) })
	d.client, d.ended = mqtt.NewClient(options), ended
	if err := await(ctx, d.client.Connect(), ended); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	filters := map[string]byte{}
	for _, f := range d.session.filters() {
		filters[f] = 1
	}
	subscription, err := hand(ctx, &d.handing, ended, func() mqtt.Token { return d.client.SubscribeMultiple(filters, nil) })
	if err == nil {
		err = await(ctx, subscription, ended)
	}
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if sub, ok := subscription.(*mqtt.SubscribeToken); ok {
		for filter, code := range sub.Result() {
			if code >= 0x80 {
				return fmt.Errorf("subscription to %s refused", filter)
			}
		}
	}
	return nil
}

func (d *pahoDesk) Leave(context.Context) error {
	if d.client != nil {
		d.client.Disconnect(uint(connectTimeout.Milliseconds())) // at most: what it has received is handled then
	}
	return nil
}

func (d *pahoDesk) Close() {
	_ = d.Leave(context.Background()) // never fails
	d.handing.Wait()
}

func (d *pahoDesk) deliver(ctx context.Context, p publication) error {
	if d.client == nil {
		return errors.New("publish: not connected")
	}
	token, err := hand(ctx, &d.handing, d.ended, func() mqtt.Token { return d.client.Publish(p.topic, 1, false, p.payload) })
	if err == nil {
		err = await(ctx, token, d.ended)
	}
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}
