package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/internal/bench"
)

func newBenchCompare() *cobra.Command {
	o := bench.CompareOptions{Version: versionText(), Out: os.Stdout}
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "The same loads for this server, its bare MQTT engine, and mosquitto",
		Long: `Give the same loads in turn to this server, to the bare engine that it is built
on and to the installed mosquitto, each started on an empty folder for each
load: pairs, fan-out, idle connections, messages for absent devices, and a
reader that stopped reading.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Binary, err = os.Executable(); err != nil {
				return fmt.Errorf("find this binary: %w", err)
			}
			_, err = bench.Compare(cmd.Context(), o)
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Rounds, "rounds", 3, "how often each load is given to each server; the median counts")
	f.BoolVar(&o.Quick, "quick", false, "tiny loads that only show that all is well")
	f.StringVar(&o.Only, "only", "", "only the loads whose name contains this")
	f.Uint64Var(&o.Seed, "seed", 1, "of the messages")
	f.StringVar(&o.Results, "results", "", "Markdown file to append the table to")
	return cmd
}

// newBenchMochi is the child process in which compare runs the bare engine.
func newBenchMochi() *cobra.Command {
	var tcp, http string
	cmd := &cobra.Command{
		Use: "mochi", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return bench.ServeMochi(cmd.Context(), tcp, http) },
	}
	cmd.Flags().StringVar(&tcp, "mqtt", "127.0.0.1:1883", "address of MQTT over TCP")
	cmd.Flags().StringVar(&http, "http", "127.0.0.1:8080", "address of MQTT over WebSocket")
	return cmd
}
