package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// tokenLife is that of the row's tokens. They count in whole seconds, so that some
// live for little more than one.
const (
	tokenLife    = 2 * time.Second
	closedLimit  = time.Second // after the end of a token
	offlineLimit = 10 * time.Second
)

// tokenExpiry lets everybody work with tokens that live for two seconds: devices
// that renew them on their connection, while messages go both ways; devices that
// know nothing of that, and are closed again and again; and some that are off the
// network until all they hold has expired.
func tokenExpiry(ctx context.Context, l *Lab) error {
	config := server.Config{Env: []string{server.DemoSite, fmt.Sprintf("PARLEY_TOKEN_LIFE=%s", tokenLife)}}
	return l.within(ctx, config, func(ctx context.Context, w *world) error {
		if err := w.crew(ctx, bothReaders[:], everyKind[:], 20); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		for range 4 {
			if err := w.renewer(ctx); err != nil {
				return fmt.Errorf("set up: %w", err)
			}
		}
		for n := range w.Rounds {
			if err := w.expire(ctx, n); err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
		}
		return nil
	})
}

// expire is a round: somebody's token ends, while the crew is off the network in
// every other one.
func (w *world) expire(ctx context.Context, n int) error {
	offline := n%2 == 1
	if offline {
		w.cable.Freeze()
	}
	w.write(20) // into the outboxes
	if err := w.lapse(ctx, versionOf(n/2)); err != nil {
		w.cable.Heal()
		return err
	}
	if offline {
		w.cable.Cut()
		w.cable.Heal()
	}
	began := time.Now()
	if err := w.drain(ctx); err != nil {
		return err
	}
	w.result.took("outbox empty max", time.Since(began), offlineLimit)
	return nil
}

// lapse connects a device and lets its token end.
func (w *world) lapse(ctx context.Context, version byte) error {
	s, err := w.rest.Visitor(ctx, server.SiteKey, "forgetful")
	if err != nil {
		return err
	}
	held := s.Credentials()
	o := device.Options{Version: version, ClientID: s.ClientID(), Password: held.Token, CleanStart: true}
	c, _, err := device.Connect(ctx, w.server.MQTT(), o)
	if err != nil {
		return err
	}
	defer c.Close()
	socket, _ := c.Raw()
	_ = socket.SetReadDeadline(held.Expires.Add(10 * time.Second)) // fails only on a closed socket
	pk, err := c.Read()
	late := time.Since(held.Expires)
	if version == device.MQTT5 && (err != nil || pk.FixedHeader.Type != packets.Disconnect || pk.ReasonCode != packets.ErrNotAuthorized.Code) {
		w.result.problem("a device whose token ended was not told so: %v", err)
	}
	if late < 0 {
		w.result.problem("a device was closed %v before the end of its token", -late)
	}
	w.result.took("closed after the end max", late, closedLimit)
	_, _, err = device.Connect(ctx, w.server.MQTT(), o)
	if refused := new(device.RefusedError); !errors.As(err, &refused) {
		w.result.problem("a token that had ended was not refused: %v", err)
	}
	return nil
}

// renewed is what a device publishes to its auth topic.
func renewed(token string) ([]byte, error) {
	payload, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		return nil, fmt.Errorf("encode token: %w", err)
	}
	return payload, nil
}
