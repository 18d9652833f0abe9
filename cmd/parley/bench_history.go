package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/seal"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/internal/bench"
	"github.com/parley-chat/parley/internal/bench/history"
)

func newBenchFill() *cobra.Command {
	var dir string
	var messages int
	var seed uint64
	cmd := &cobra.Command{
		Use:   "fill",
		Short: "Fill a store with support talk, Chinese, English and mixed",
		Long: `Append messages of a made-up corpus to the embedded store in a folder, and index
them: always the same ones for a seed, so that filling again goes on where it
ended. They are of a site of their own.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			a, err := openArchive(cmd.Context(), dir, seal.Keys{})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, a.Close()) }()
			start := time.Now()
			if err := history.NewFiller(a, seed).Fill(cmd.Context(), messages); err != nil {
				return err
			}
			filled := time.Since(start)
			if err := a.Settle(cmd.Context()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(os.Stdout, "%d messages in %v, all can be found after %v\n",
				messages, filled.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "data", "./data-bench", "the folder of the store")
	f.IntVar(&messages, "messages", 10_000, "how many")
	f.Uint64Var(&seed, "seed", 1, "of the corpus")
	return cmd
}

func newBenchSearch() *cobra.Command {
	var dir string
	o := history.Options{Version: versionText(), Machine: bench.Machine(), Out: os.Stdout}
	cmd := &cobra.Command{
		Use:   "search",
		Short: "How long a page and a search take as history grows",
		Long: `Fill an embedded store up to each of the sizes in turn, and measure there how
long it takes to read a page of the longest conversation and to search all of
them. Without --data the store is a new one that is removed afterwards.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if dir == "" {
				if dir, err = os.MkdirTemp("", "parley-bench-"); err != nil {
					return fmt.Errorf("make a data folder: %w", err)
				}
				defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
			}
			a, err := openArchive(cmd.Context(), dir, seal.Keys{})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, a.Close()) }()
			o.Archive = a
			_, err = history.Run(cmd.Context(), o)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "data", "", "the folder of the store")
	f.IntSliceVar(&o.Sizes, "sizes", []int{10_000, 100_000, 1_000_000}, "numbers of messages, rising")
	f.IntVar(&o.Pages, "pages", 0, "pages of each kind (default 1000)")
	f.IntVar(&o.Queries, "queries", 0, "queries of each class (default 200)")
	f.Uint64Var(&o.Seed, "seed", 1, "of the corpus")
	f.StringVar(&o.Results, "results", "", "Markdown file to write the table to; the plot goes beside it")
	return cmd
}

// archive is an embedded store with its bridge, without a server around it.
type archive struct {
	*bridge.Bridge
	store *sqlite.Store
	front *seal.Store // in front of it
	dir   string
	keys  seal.Keys
}

// openArchive opens one, whose sites are all sealed if there are keys.
func openArchive(ctx context.Context, dir string, keys seal.Keys) (*archive, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := sqlite.Open(ctx, sqlite.Options{Dir: dir, Logger: log, Version: releaseName()})
	if err != nil {
		return nil, err
	}
	front, err := seal.Open(ctx, store, seal.Options{Keys: keys, Logger: log})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	if !keys.Empty() {
		err = front.SealNewSites(ctx)
	}
	var b *bridge.Bridge
	if err == nil {
		b, err = bridge.New(ctx, front, bridge.Options{Logger: log})
	}
	if err != nil {
		return nil, errors.Join(err, front.Close(), store.Close())
	}
	return &archive{Bridge: b, store: store, front: front, dir: dir, keys: keys}, nil
}

// Close closes all of it; the bridge before the store.
func (a *archive) Close() error {
	return errors.Join(a.Bridge.Close(), a.front.Close(), a.store.Close())
}

// Reopen closes it and opens it again.
func (a *archive) Reopen(ctx context.Context) error {
	if err := a.Close(); err != nil {
		return err
	}
	again, err := openArchive(ctx, a.dir, a.keys)
	if err != nil {
		return err
	}
	*a = *again
	return nil
}

// Append appends as the bridge does after it has decided.
func (a *archive) Append(ctx context.Context, stream parley.Stream, entries []parley.Entry, expect int64) ([]parley.Appended, error) {
	return a.front.Append(ctx, stream, entries, expect)
}

// settleEvery is how often the index is asked whether it is complete. Asking makes
// it slower.
const settleEvery = 200 * time.Millisecond

// Settle waits for the index.
func (a *archive) Settle(ctx context.Context) error {
	who := parley.Identity{Site: "ste_settle", User: "agt_settle", Role: parley.RoleSupervisor}
	for {
		page, err := a.Search(ctx, who, parley.SearchRequest{Text: "settled", Limit: 1})
		if err != nil || !page.Indexing {
			return err
		}
		select {
		case <-time.After(settleEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Size returns the bytes of all files.
func (a *archive) Size() (int64, error) {
	var bytes int64
	err := filepath.WalkDir(a.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err
}
