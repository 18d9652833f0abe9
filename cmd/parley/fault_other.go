//go:build !linux

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newFault() *cobra.Command {
	return &cobra.Command{
		Use:   "fault",
		Short: "Break a server in every way we know, and count what was lost (Linux)",
		RunE: func(*cobra.Command, []string) error {
			return errors.New("fault takes Linux: namespaces for its networks, mounts for its disks")
		},
	}
}
