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
	root := &cobra.Command{
		Use:           "parley",
		Short:         "Customer messaging that does not lose a message",
		Version:       versionText(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("parley {{.Version}}\n")
	root.AddCommand(newServe(), newDemo(), newMigrate(), newBench(), newFault())
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
