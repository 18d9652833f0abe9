package fault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// damage breaks one file of a data folder in each round, and starts a server on
// it: the end is cut off, or a bit flipped somewhere. The server may repair it,
// refuse to start, or answer with errors; what it serves has to be true.
func damage(ctx context.Context, l *Lab) error {
	folder := filepath.Join(l.Folder, "whole")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	var truth []checker.Stream
	var owners []*device.Session
	err := l.within(ctx, server.Config{Data: folder}, func(ctx context.Context, w *world) error {
		if err := w.crew(ctx, nil, everyKind[:], 50); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		w.write(500)
		if err := w.quiet(ctx); err != nil {
			return err
		}
		var err error
		if truth, err = w.read(ctx); err != nil {
			return err
		}
		for _, s := range w.streams {
			owners = append(owners, s.owner)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(folder, "backup.sock")); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a server that was killed
		return err
	}
	d := &damaged{Lab: l, whole: folder, truth: truth, owners: owners}
	for n := range l.Rounds {
		if err := d.round(ctx, n); err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
	}
	return nil
}

// damaged is a data folder that is broken again and again, in copies.
type damaged struct {
	*Lab
	whole  string
	truth  []checker.Stream
	owners []*device.Session
}

func (d *damaged) round(ctx context.Context, n int) error {
	folder := filepath.Join(d.Folder, "broken")
	if err := errors.Join(os.RemoveAll(folder), os.CopyFS(folder, os.DirFS(d.whole))); err != nil {
		return fmt.Errorf("copy data folder: %w", err)
	}
	what, err := d.breakOne(folder, n%2 == 0)
	if err != nil {
		return err
	}
	s, err := server.New(server.Config{Binary: d.Binary, Data: folder, Env: []string{server.DemoSite}})
	if err != nil {
		return err
	}
	defer s.Kill()
	if err := s.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return err
		}
		if s.Stderr() == "" {
			d.result.problem("%s: the server does not start and says nothing", what)
		}
		d.result.count("refused to start", 1)
		return nil
	}
	rest := device.NewREST(s.URL())
	defer rest.Close()
	outcome := "harmless or repaired"
	for i, stream := range d.truth {
		entries, err := rest.Entries(ctx, d.owners[i], stream.Conversation)
		if err != nil {
			outcome = "answered with an error"
			continue
		}
		if !d.isTrue(what, stream, entries) {
			outcome = "served as truth"
		}
		if len(entries) < len(stream.Entries) {
			if outcome = "shortened, and told in the log"; !tellsDamage.MatchString(s.Stderr()) {
				outcome = "shortened in silence"
				d.result.problem("%s: %d of %d entries are left, and the log does not tell", what, len(entries), len(stream.Entries))
			}
		}
	}
	d.result.count(outcome, 1)
	return nil
}

// tellsDamage finds the words with which an operator can be told.
var tellsDamage = regexp.MustCompile(`(?i)torn_bytes=[1-9]|corrupt|malformed|checksum|damage|not a database|truncat`)

// isTrue compares what is served with what was stored, as far as it goes.
func (d *damaged) isTrue(what string, stream checker.Stream, entries []parley.Entry) bool {
	for i, e := range entries {
		if i >= len(stream.Entries) {
			d.result.problem("%s: %d entries are served of %d", what, len(entries), len(stream.Entries))
			return false
		}
		t := stream.Entries[i]
		if e.Seq != t.Seq || e.ID != t.ID || e.Sender != t.Sender || e.Type != t.Type || string(e.Body) != string(t.Body) {
			d.result.problem("%s: seq %d is served with other content", what, t.Seq)
			return false
		}
	}
	return true
}

// breakOne damages one file and tells how.
func (d *damaged) breakOne(folder string, flip bool) (what string, err error) {
	var files []string
	err = filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Size() > 0 {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("look into data folder: %w", err)
	}
	file := files[d.random.IntN(len(files))]
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("break a file: %w", err)
	}
	if flip {
		at := d.random.IntN(len(data))
		data[at] ^= 1 << d.random.IntN(8)
		what = fmt.Sprintf("%s, bit flipped in byte %d of %d", filepath.Base(file), at, len(data))
	} else {
		cut := 1 + d.random.IntN(min(len(data), 8192))
		what = fmt.Sprintf("%s, last %d of %d bytes cut off", filepath.Base(file), cut, len(data))
		data = data[:len(data)-cut]
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return "", fmt.Errorf("break a file: %w", err)
	}
	return what, nil
}
