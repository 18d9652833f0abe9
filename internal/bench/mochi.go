package bench

import (
	"context"
	"fmt"
	"log/slog"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// ServeMochi serves MQTT with the bare engine until ctx ends: its own listeners
// and settings, nothing durable, everybody allowed. Compare runs it as a child
// process, so that it can be measured like the others.
func ServeMochi(ctx context.Context, tcp, ws string) error {
	server := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(new(everybody), nil); err != nil {
		return fmt.Errorf("allow everybody: %w", err)
	}
	for _, l := range []listeners.Listener{
		listeners.NewTCP(listeners.Config{ID: "tcp", Address: tcp}),
		listeners.NewWebsocket(listeners.Config{ID: "ws", Address: ws}),
	} {
		if err := server.AddListener(l); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	if err := server.Serve(); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	<-ctx.Done()
	return server.Close()
}

// everybody lets everybody in and do everything.
type everybody struct{ mqtt.HookBase }

func (*everybody) ID() string { return "everybody" }

func (*everybody) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck
}

func (*everybody) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

func (*everybody) OnACLCheck(*mqtt.Client, string, bool) bool { return true }
