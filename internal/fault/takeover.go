package fault

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// takeover tries to be somebody else: foreign client identifiers and whatever
// looks like them. Then a device fights with itself.
func takeover(ctx context.Context, l *Lab) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		victim, err := w.probe(ctx)
		if err != nil {
			return err
		}
		a, err := w.attacker(ctx)
		if err != nil {
			return err
		}
		before, err := w.metric(ctx, "parley_mqtt_takeovers_total")
		if err != nil {
			return err
		}
		variants := lookalikes(victim.session.ClientID(), a.session)
		for n := range w.Rounds {
			pk := a.connectPacket(device.MQTT5)
			if n%2 == 1 {
				pk = a.connectPacket(device.MQTT311)
			}
			pk.Connect.ClientIdentifier = variants[n%len(variants)]
			pk.Connect.Clean = n%4 < 2
			c, err := a.tryConnect(ctx, pk)
			if err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
			if c != nil {
				c.Close()
				w.result.problem("client identifier %q was accepted from somebody else", pk.Connect.ClientIdentifier)
			}
		}
		after, err := w.metric(ctx, "parley_mqtt_takeovers_total")
		if err != nil {
			return err
		}
		w.result.measure("sessions touched", after-before, "", 0)
		if after != before {
			w.result.problem("%v sessions were taken over by strangers", after-before)
		}
		return a.fight(ctx)
	})
}

// lookalikes are client identifiers that are not the attacker's.
func lookalikes(victim string, a *device.Session) []string {
	user, dev, _ := strings.Cut(victim, ".")
	return []string{
		victim, strings.ToUpper(victim), strings.ToUpper(user) + "." + dev, victim + " ", " " + victim, victim + ".", victim + "\u200b",
		strings.Replace(victim, "vis_", "ｖis_", 1), strings.Replace(victim, "i", "ı", 1), victim + "\u0301", user + "/" + dev,
		user + "." + a.Device, a.User + "." + dev, user, dev, "", "$SYS", "+", "#", "demo." + victim, victim + strings.Repeat("x", 70),
	}
}

// fight lets two connections of one device take over from each other, 20 times
// a second. A client that behaves stops when it is told; these do not.
func (a *attacker) fight(ctx context.Context) error {
	const duration = 2 * time.Second
	var last *device.Conn
	made := 0
	for began := time.Now(); time.Since(began) < duration; made++ {
		c, err := a.connect(ctx, device.MQTT5)
		if err != nil {
			return fmt.Errorf("take over the own device: %w", err)
		}
		if last != nil {
			last.Close()
		}
		last = c
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	defer last.Close()
	a.world.result.count("takeovers of the own device", made)
	if err := last.Subscribe(1, a.session.Topic("messages", "+")); err != nil {
		return fmt.Errorf("the last connection of a device: %w", err)
	}
	if _, err := last.Read(); err != nil {
		a.world.result.problem("the last connection of a device that fought with itself is dead: %v", err)
	}
	return nil
}
