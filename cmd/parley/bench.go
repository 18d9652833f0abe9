package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/internal/bench"
)

func newBench() *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "Measure the server as a client sees it"}
	cmd.AddCommand(newBenchPublish(), newBenchCompare(), newBenchMochi(), newBenchFill(), newBenchSearch(), newBenchSeal(), newBenchBackup())
	return cmd
}

func newBenchPublish() *cobra.Command {
	o := bench.Options{Version: versionText(), Out: os.Stdout}
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Durable publishes: messages a second, acknowledgement times, CPU per message",
		Long: `Publish at QoS 1 and wait for the acknowledgements, which mean durable: one
connection with 1 in flight, one with 50, and 50 with 20 each. Without --url a
server is started on an empty folder, and the size of the binary, its idle
memory and its time to start are measured too.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Binary, err = os.Executable(); err != nil {
				return fmt.Errorf("find this binary: %w", err)
			}
			_, err = bench.Run(cmd.Context(), o)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.URL, "url", "", "measure the server at this address instead (http://host:port)")
	f.StringVar(&o.MQTT, "mqtt", "", "its MQTT address (host:port)")
	f.StringVar(&o.SiteKey, "site-key", demoSiteKey, "a site of it whose visitors may publish")
	f.DurationVar(&o.Duration, "duration", 0, "of each load (default 5s)")
	f.IntVar(&o.Repeat, "repeat", 0, "how often each load is made; the median counts (default 3)")
	f.Uint64Var(&o.Seed, "seed", 1, "of the messages")
	f.StringVar(&o.Results, "results", "", "Markdown file to append the table to")
	return cmd
}
