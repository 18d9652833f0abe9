package fault

import (
	"context"
	"fmt"
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// takeover tries to be somebody else: foreign client identifiers and whatever
// looks like them. Then a device fights with itself.
func takeover(ctx context.Context, l *Lab) error {
	return l.assault(ctx, server.Config{}, func(ctx context.Context, a *assault) error {
		before, err := a.takeovers(ctx)
		if err != nil {
			return err
		}
		variants := lookalikes(a.victim.session.ClientID(), a.attacker.session)
		for n := range a.Rounds {
			name := variants[n%len(variants)]
			accepted, err := a.connect(ctx, n, func(c *packets.ConnectParams) {
				c.ClientIdentifier, c.Clean = name, n%4 < 2
			})
			if err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
			if accepted {
				a.result.problem("client identifier %q was accepted from somebody else", name)
			}
		}
		after, err := a.takeovers(ctx)
		if err != nil {
			return err
		}
		a.result.measure("sessions touched", after-before, "", 0)
		if after != before {
			a.result.problem("%v sessions were taken over by strangers", after-before)
		}
		return a.fights(ctx)
	})
}

func (a *assault) takeovers(ctx context.Context) (float64, error) {
	return a.metric(ctx, "parley_mqtt_takeovers_total")
}

// lookalikes are client identifiers that are not the attacker's.
func lookalikes(victim string, a *device.Session) []string {
	user, dev, _ := strings.Cut(victim, ".")
	return []string{
		victim, strings.ToUpper(victim), strings.ToUpper(user) + "." + dev, victim + " ", " " + victim, victim + ".", victim + "\u200b",
		strings.Replace(victim, "vis_", "ｖis_", 1), strings.Replace(victim, "i", "ı", 1), victim + "\u0301", user + "/" + dev,
		strings.Replace(victim, "s", "ſ", 1), strings.Replace(victim, "v", "ν", 1), strings.Replace(victim, ".", "．", 1), "\u202e" + victim, victim + "\x00",
		strings.ToTitle(a.ClientID()), strings.Replace(a.ClientID(), "s", "ſ", 1), a.ClientID() + "\u200d", // its own are no better
		user + "." + a.Device, a.User + "." + dev, user, dev, "", "$SYS", "+", "#", "demo." + victim, victim + strings.Repeat("x", 70),
	}
}
