package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/seal"
	"github.com/parley-chat/parley/internal/bench"
	"github.com/parley-chat/parley/internal/corpus"
	"github.com/parley-chat/parley/internal/results"
)

func newBenchSeal() *cobra.Command {
	var o sealBench
	var file string
	cmd := &cobra.Command{
		Use:   "seal",
		Short: "What encryption costs: appends, pages and searches, sealed beside plain",
		Long: `Append to an embedded store, read pages of it and search it, plain and with all of its
sites sealed, in turns, in one process without a network.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.out = cmd.OutOrStdout()
			table, err := o.run(cmd.Context())
			if err != nil || file == "" {
				return err
			}
			return results.Append(file, "# Benchmarks\n", table)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.messages, "messages", 20_000, "in each store")
	f.IntVar(&o.rounds, "rounds", 3, "how often each is measured; the median counts")
	f.Uint64Var(&o.seed, "seed", 1, "of the corpus")
	f.StringVar(&file, "results", "", "Markdown file to append the table to")
	return cmd
}

type sealBench struct {
	messages, rounds int
	seed             uint64
	out              io.Writer
}

const sealBenchSite = "ste_bench"

// sealFigures is what is measured, in the order of the table.
var sealFigures = [...]string{"appends a second, 1 writer", "appends a second, 100 writers", "a page of 50, µs", "a search, ms", "on the disk, bytes a message"}

type sealFigure [len(sealFigures)]float64

func (o *sealBench) run(ctx context.Context) (string, error) {
	var plain, sealed []sealFigure
	for range max(1, o.rounds) {
		for _, side := range []struct {
			to   *[]sealFigure
			seal bool
		}{{&plain, false}, {&sealed, true}} {
			f, err := o.measure(ctx, side.seal)
			if err != nil {
				return "", err
			}
			*side.to = append(*side.to, f)
		}
	}
	table := o.table(medianOf(plain), medianOf(sealed))
	_, err := io.WriteString(o.out, table)
	return table, err
}

func (o *sealBench) table(plain, sealed sealFigure) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## Sealed beside plain: %s, %s\n\n", time.Now().UTC().Format(time.DateOnly), versionText())
	fmt.Fprintf(&b, "Made by `parley bench seal` on %s, seed `%#x`: %d messages of support talk in an embedded store, in one process without\na network; medians of %d rounds, in turns.\n\n| | plain | sealed | sealed ÷ plain |\n|---|---:|---:|---:|\n",
		bench.Machine(), o.seed, o.messages, max(1, o.rounds))
	for i, name := range sealFigures {
		fmt.Fprintf(&b, "| %s | %s | %s | %.2f |\n", name, figure(plain[i]), figure(sealed[i]), sealed[i]/plain[i])
	}
	return b.String()
}

// figure writes a number with as many digits as mean something.
func figure(v float64) string {
	return strconv.FormatFloat(v, 'f', max(0, 3-len(strconv.Itoa(int(v)))), 64)
}

func medianOf(rounds []sealFigure) (m sealFigure) {
	for i := range m {
		var values []float64
		for _, r := range rounds {
			values = append(values, r[i])
		}
		slices.Sort(values)
		m[i] = values[len(values)/2]
	}
	return m
}

// measure measures a new store.
func (o *sealBench) measure(ctx context.Context, sealed bool) (f sealFigure, err error) {
	dir, err := os.MkdirTemp("", "parley-bench-")
	if err != nil {
		return f, fmt.Errorf("make a data folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var keys seal.Keys
	if sealed {
		if keys, err = seal.NewKeys(seal.NewMasterKey(time.Now(), false)); err != nil {
			return f, err
		}
	}
	a, err := openArchive(ctx, dir, keys)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	alone := o.messages / 10
	if f[0], err = o.append(ctx, a, 1, alone); err != nil {
		return f, err
	}
	if f[1], err = o.append(ctx, a, 100, o.messages-alone); err != nil {
		return f, err
	}
	if err := errors.Join(a.Settle(ctx), a.Reopen(ctx), a.Settle(ctx)); err != nil {
		return f, err
	}
	if f[2], err = o.read(ctx, a); err != nil {
		return f, err
	}
	if f[3], err = o.search(ctx, a); err != nil {
		return f, err
	}
	size, err := a.Size()
	f[4] = float64(size) / float64(o.messages)
	return f, err
}

// append appends messages, each writer to a conversation of its own, and returns how many
// a second.
func (o *sealBench) append(ctx context.Context, a *archive, writers, messages int) (float64, error) {
	talk := corpus.New(o.seed)
	texts := make([]parley.Draft, messages)
	for i := range texts {
		texts[i] = parley.NewText(parley.NewID(parley.PrefixMessage), talk.Message(i).Text)
	}
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var running sync.WaitGroup
	began := time.Now()
	for n := range writers {
		running.Go(func() {
			stream := parley.MessagesOf(sealBenchSite, fmt.Sprintf("cnv_%d_%d", writers, n))
			for failed.Load() == nil {
				i := next.Add(1) - 1
				if i >= int64(messages) {
					return
				}
				e := parley.Entry{ID: texts[i].ID, Sender: "vis_1", Role: parley.RoleVisitor, Type: parley.EntryText, Body: texts[i].Body, Digest: make([]byte, 16)}
				if _, err := a.Append(ctx, stream, []parley.Entry{e}, parley.ExpectAny); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	running.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(messages) / time.Since(began).Seconds(), nil
}

// read returns how long a page of 50 takes on average.
func (o *sealBench) read(ctx context.Context, a *archive) (float64, error) {
	const pages = 1000
	stream := parley.MessagesOf(sealBenchSite, "cnv_1_0")
	last := max(1, o.messages/10-50)
	began := time.Now()
	for i := range pages {
		if _, err := a.front.Read(ctx, stream, int64(i*50%last), 50); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(began).Microseconds()) / pages, nil
}

// search returns how long the first page of a query takes on average.
func (o *sealBench) search(ctx context.Context, a *archive) (float64, error) {
	who := parley.Identity{Site: sealBenchSite, User: "agt_boss", Device: "dev_1", Role: parley.RoleSupervisor}
	queries := corpus.New(o.seed).Queries(10, o.messages/10)
	began := time.Now()
	for _, q := range queries {
		if _, err := a.Search(ctx, who, parley.SearchRequest{Text: q.Text}); err != nil {
			return 0, err
		}
	}
	return time.Since(began).Seconds() * 1000 / float64(len(queries)), nil
}
