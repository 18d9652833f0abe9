package main

import (
	"os"
	"runtime"

	"github.com/spf13/cobra"
)

func newServe() *cobra.Command {
	c := defaultConfig()
	var environment error
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server: MQTT over TCP and WebSocket, the REST API and the web files.

Every setting is also an environment variable; flags win. SIGTERM stops it
gracefully: devices are told to reconnect, and nothing is lost.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if environment != nil {
				return environment
			}
			if err := c.validate(); err != nil {
				return err
			}
			log := c.logger()
			defer runtime.KeepAlive(ballast())
			n, err := openNode(cmd.Context(), c, log)
			if err != nil {
				return err
			}
			kept, _ := c.location() // it was opened
			metrics := c.Metrics    // "off", or perhaps with a port that was yet to be found
			if n.metricsAddr != nil {
				metrics = n.metricsAddr.String()
			}
			log.Info("ready", "version", versionText(), "http", n.httpAddr, "mqtt", n.mqttAddr, "metrics", metrics, "store", kept)
			return n.run(cmd.Context())
		},
	}
	environment = c.readEnvironment() // before the flags, which show it as their default
	c.bindFlags(cmd.Flags())
	return cmd
}

// ballastBytes is memory that is asked for and never touched, so that the system
// never has to find it. It makes the garbage collector wait until the heap is
// twice what is in use *and* this: with the little that a small server has in use
// it would otherwise run ten times as often, for a sixth of the processor time at
// full load. A large server does not notice.
const ballastBytes = 64 << 20

// ballast returns it. Whoever holds it must keep it alive.
func ballast() []byte {
	if os.Getenv("GOGC") != "" {
		return nil // the collector has been set by hand
	}
	return make([]byte, ballastBytes)
}
