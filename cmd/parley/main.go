// Command parley is customer messaging that does not lose a message: the
// server, the demo, and the tools of its operators.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Set by the linker.
var (
	version = "dev"
	commit  = ""
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "parley: "+err.Error())
		stop()
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	version := false
	root := &cobra.Command{
		Use:           "parley",
		Short:         "Customer messaging that does not lose a message",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !version {
				return cmd.Help()
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "parley", versionText())
			return err
		},
	}
	// Cobra's own flag for it would take a template, and with the engine for those the
	// linker keeps each method of each type: 4 MB.
	root.Flags().BoolVarP(&version, "version", "v", false, "print the version")
	root.AddCommand(newServe(), newHealthcheck(), newDemo(), newMigrate(), newKey(), newBackup(), newRestore(), newDrill(), newBench(), newFault())
	return root
}

// releaseName is what stores remember of who made their schema.
func releaseName() string { return "Parley " + versionText() }

func versionText() string {
	if commit == "" {
		return version
	}
	return version + " (" + commit + ")"
}
