package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/internal/fault"
	"github.com/parley-chat/parley/internal/fault/device"
)

func newFault() *cobra.Command {
	s := fault.Session{Out: os.Stdout, Commit: commit}
	list := false
	cmd := &cobra.Command{
		Use:   "fault [row …]",
		Short: "Break a server in every way we know, and count what was lost",
		Long: `Starts servers of its own on loopback, kills them, cuts their cables and
floods them, while devices of several kinds write and read; then compares what
the devices wrote down with what REST returns. Without rows: all of them.

To be run in the source tree, with Go, Node, Chromium, mosquitto-clients, nftables and
iproute2: it builds a server that dies where it is told to. Rows that pull
cables or cut the power need root. It ends by itself, with 1 if anything was
lost, doubled, reordered or too slow.`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if list {
				return fault.List(cmd.OutOrStdout())
			}
			if s.Lab.Binary, err = os.Executable(); err != nil {
				return fmt.Errorf("find this binary: %w", err)
			}
			return s.Run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.IntVar(&s.Lab.Rounds, "rounds", 0, "faults to inject in each row (default: as many as the row says)")
	f.Uint64Var(&s.Lab.Seed, "seed", 0, "repeat the choices of a run (default: random)")
	f.StringVar(&s.Lab.Only, "only", "", "one part of a row, e.g. the crash point journal-torn:2")
	f.Float64Var(&s.Scale, "scale", 1, "multiply the rounds of each row")
	f.BoolVar(&s.Short, "short", false, "the few rounds of the tests")
	f.StringVar(&s.Results, "results", "", "Markdown file to write the table to")
	f.BoolVar(&s.Verbose, "verbose", false, "log what is done")
	f.BoolVar(&list, "list", false, "list the rows and what counts as a pass")
	cmd.AddCommand(append(faultTools(), newFaultDevice())...)
	return cmd
}

// newFaultDevice is a process that plays devices, which can be killed and live
// in a network of its own.
func newFaultDevice() *cobra.Command {
	crowd := false
	cmd := &cobra.Command{
		Use:    "device",
		Short:  "Play a device: its part comes on standard input, its journal goes to standard output",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if crowd {
				return device.PlayCrowd(cmd.Context(), os.Stdin, os.Stdout)
			}
			return device.Play(cmd.Context(), os.Stdin, os.Stdout)
		},
	}
	cmd.Flags().BoolVar(&crowd, "crowd", false, "play many devices at once")
	return cmd
}
