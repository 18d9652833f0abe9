package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley/bridge/seal"
	"github.com/parley-chat/parley/internal/bench"
	"github.com/parley-chat/parley/internal/results"
)

// restoreBench measures how long a restore of a backup takes that is not encrypted.
type restoreBench struct {
	binary   string // of parley
	messages int    // that are in it, for the table
	data     string // the folder that it was made of
	file     string // the backup
	folder   string // that the new store is made in; it takes as much room as the store
	results  string // Markdown file, may be empty
	out      io.Writer
}

// secondsPerGB is how long it may take until a GB is restored and can be used.
const secondsPerGB = 180

// restoreFigures are what was measured: sizes in bytes.
type restoreFigures struct {
	source, backup  int64
	store           int64 // what was restored, before its index is filled
	restored, opens time.Duration
	worked          time.Duration // of the processors, while it was restored
	found           time.Duration // until its index is filled, while it can be used
}

// perGB is how many seconds it takes until a GB of so many bytes can be used.
func (f *restoreFigures) perGB(bytes int64) float64 {
	return (f.restored + f.opens).Seconds() * 1e9 / float64(bytes)
}

// run restores the backup as an operator does, and opens the store as a server does.
func (b *restoreBench) run(ctx context.Context) (err error) {
	var f restoreFigures
	if f.source, err = (&archive{dir: b.data}).Size(); err != nil {
		return fmt.Errorf("measure what is backed up: %w", err)
	}
	info, err := os.Stat(b.file)
	if err != nil {
		return fmt.Errorf("measure the backup: %w", err)
	}
	f.backup = info.Size()
	to := filepath.Join(b.folder, "restored")
	began := time.Now()
	cmd := exec.CommandContext(ctx, b.binary, "restore", "--to", "sqlite:"+to, b.file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("measure a restore: %w\n%s", err, out)
	}
	f.restored, f.worked = time.Since(began), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
	if f.store, err = (&archive{dir: to}).Size(); err != nil {
		return fmt.Errorf("measure what was restored: %w", err)
	}
	began = time.Now()
	a, err := openArchive(ctx, to, seal.Keys{})
	if err != nil {
		return fmt.Errorf("open what was restored: %w", err)
	}
	f.opens = time.Since(began)
	err = a.Settle(ctx)
	f.found = time.Since(began)
	if err := errors.Join(err, a.Close(), os.RemoveAll(to)); err != nil {
		return err
	}
	return b.tell(&f)
}

// tell tells what was measured. The limit is for what was restored, which is less than what
// was backed up: it has no index yet.
func (b *restoreBench) tell(f *restoreFigures) error {
	verdict := "✓"
	if f.perGB(f.store) > secondsPerGB {
		verdict = "✗"
	}
	megabytes := func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
	speed := float64(f.store) / 1e6 / f.restored.Seconds()
	_, err := fmt.Fprintf(b.out, "%s restored %s of a backup of %s in %.1f s, of which processors worked %.1f s, %.1f MB/s, opened in %.1f s: %.0f s for 1 GB (at most %d), %.0f s for 1 GB of the store that was backed up, which has an index; all can be found after %.1f s more\n",
		verdict, megabytes(f.store), megabytes(f.backup), f.restored.Seconds(), f.worked.Seconds(), speed, f.opens.Seconds(), f.perGB(f.store), secondsPerGB, f.perGB(f.source), f.found.Seconds())
	if err != nil || b.results == "" {
		return err
	}
	return results.Append(b.results, "", fmt.Sprintf(`
Restored from that backup (proven, copied, compared), and opened; a server then fills the index while it is used. %s, parley %s, %s.

| messages | store | backup | restored, without the index | restored in | processor time | opened in | all found after | MB/s | seconds for 1 GB restored (≤ %d) | for 1 GB of the store |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| %d | %s | %s | %s | %.1f s | %.1f s | %.1f s | %.1f s | %.1f | %.0f | %.0f |
`, time.Now().UTC().Format(time.DateOnly), versionText(), bench.Machine(), secondsPerGB,
		b.messages, megabytes(f.source), megabytes(f.backup), megabytes(f.store), f.restored.Seconds(), f.worked.Seconds(), f.opens.Seconds(), f.found.Seconds(), speed, f.perGB(f.store), f.perGB(f.source)))
}
