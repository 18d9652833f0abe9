package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/bridge/seal"
	"github.com/parley-chat/parley/internal/bench"
	"github.com/parley-chat/parley/internal/bench/history"
)

func newBenchBackup() *cobra.Command {
	b := bench.Beside{What: "a backup", Version: versionText(), Out: os.Stdout}
	messages, data := 0, ""
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "How long deliveries take while a backup is made, how long a restore takes, and what a drill finds",
		Long: `Fill an embedded store, start a server on it, send messages at a steady pace, and
measure how long they take to be delivered: without and with a backup. Then measure
how long it takes to restore that backup, and try it out, compared stream by stream
with the store. Without --data the store is a new one that is removed afterwards.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if b.Binary, err = os.Executable(); err != nil {
				return fmt.Errorf("find this binary: %w", err)
			}
			folder, err := os.MkdirTemp("", "parley-bench-")
			if err != nil {
				return fmt.Errorf("make a data folder: %w", err)
			}
			defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
			if b.Data = data; data == "" {
				b.Data = filepath.Join(folder, "data")
			}
			if err := fillFor(cmd.Context(), b.Data, b.Seed, messages); err != nil {
				return err
			}
			file := filepath.Join(folder, "backup")
			b.What = fmt.Sprintf("a backup of %d messages", messages)
			b.Command = func() *exec.Cmd {
				return exec.CommandContext(cmd.Context(), b.Binary, "backup", "--data", b.Data, "--plain", file)
			}
			if err := b.Run(cmd.Context()); err != nil {
				return err
			}
			r := restoreBench{binary: b.Binary, messages: messages, data: b.Data, file: file, folder: folder, results: b.Results, out: b.Out}
			if err := r.run(cmd.Context()); err != nil {
				return err
			}
			d := drill{backupRun: backupRun{stored: defaultConfig(), screen: newProgress(os.Stdout), log: newBackupLog(os.Stderr)}, path: file, temporary: folder}
			d.stored.Data = b.Data
			return d.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "the folder of the store")
	f.IntVar(&messages, "messages", 1_000_000, "how many")
	f.IntVar(&b.Rate, "rate", 500, "messages a second meanwhile")
	f.DurationVar(&b.Without, "without", 20*time.Second, "how long deliveries are measured without a backup, before and after")
	f.Uint64Var(&b.Seed, "seed", 1, "of the corpus")
	f.StringVar(&b.Results, "results", "", "Markdown file to append the table to")
	return cmd
}

// fillFor fills the store in a folder up to a number of messages.
func fillFor(ctx context.Context, dir string, seed uint64, messages int) (err error) {
	a, err := openArchive(ctx, dir, seal.Keys{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := history.NewFiller(a, seed).Fill(ctx, messages); err != nil {
		return err
	}
	return a.Settle(ctx) // or the index would be filled while deliveries are measured
}
