//go:build fault && linux

package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/internal/fault/disk"
)

// faultTools are in the server that is built to be broken, and in no other.
func faultTools() []*cobra.Command {
	return []*cobra.Command{{
		Use:    "disk BELOW AT",
		Short:  "Mount a disk that loses power when told to on standard input",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return disk.Serve(args[0], args[1], os.Stdin, os.Stdout)
		},
	}}
}
