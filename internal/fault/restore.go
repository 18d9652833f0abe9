package fault

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// restore backs servers up while they are killed and their keys change, restores each
// backup into an empty folder, and compares the server on it with what was acknowledged
// before the backup was begun. Servers are sealed by turns on a new folder and on one of
// the schema before, and not sealed.
func restore(ctx context.Context, l *Lab) error {
	rounds := 1 // that one server sees
	if l.Soak {
		rounds = 5
	}
	kinds := []string{"sealed", "of before", "plain"}
	for done := 0; done < l.Rounds; done += rounds {
		if err := l.safekeeping(ctx, kinds[done/rounds%len(kinds)], min(rounds, l.Rounds-done)); err != nil {
			return err
		}
	}
	return nil
}

// safekeeping makes rounds with one server.
func (l *Lab) safekeeping(ctx context.Context, kind string, rounds int) error {
	if l.email = ""; kind == "of before" {
		l.email = server.SecondEmail // to whom nothing has happened yet
	}
	dir, err := os.MkdirTemp(l.Folder, "safe-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	s, err := l.newSafe(ctx, dir)
	if err != nil {
		return err
	}
	if kind == "of before" {
		if err := l.unpackKept(dir); err != nil {
			return err
		}
	}
	if kind != "plain" {
		s.keys = filepath.Join(dir, "keys")
		for _, args := range [][]string{{"key", "new"}, {"key", "seal", "--all", "--data", s.data}} {
			if _, err := s.parley(ctx, args...); err != nil {
				return err
			}
		}
	}
	l.result.count("servers "+kind, 1)
	return l.within(ctx, server.Config{Data: s.data, Env: []string{server.DemoSite, "PARLEY_KEY_FILE=" + s.keys}}, func(ctx context.Context, w *world) error {
		s.world = w
		if err := s.settleIn(ctx); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		for n := range rounds {
			if err := s.round(ctx); err != nil {
				return fmt.Errorf("%s, round %d: %w", kind, n+1, err)
			}
		}
		return s.lastKey(ctx)
	})
}

// settleIn makes everybody who writes, and who reads afterwards.
func (s *safe) settleIn(ctx context.Context) (err error) {
	if err := s.crew(ctx, bothReaders[:], everyKind[:], 50); err != nil {
		return err
	}
	if s.bystander, err = s.prober(ctx); err != nil {
		return err
	}
	agent, visitor, err := s.household.auditors(ctx)
	s.auditors = []*device.Session{agent, visitor}
	return err
}

// round makes a backup in the middle of a load, and does everything with it.
func (s *safe) round(ctx context.Context) error {
	if err := s.load(ctx, 100); err != nil {
		return err
	}
	if err := s.brokenOff(ctx); err != nil {
		return err
	}
	s.made++
	file := filepath.Join(s.dir, fmt.Sprintf("backup-%d.age", s.made))
	var before []said
	err := s.whileKeysChange(ctx, func(ctx context.Context) (err error) {
		if err = s.load(ctx, 100); err == nil {
			before, err = s.writersSaid(), s.backUp(ctx, file)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := s.damaged(ctx, file); err != nil {
		return err
	}
	truth, err := s.read(ctx)
	if err != nil {
		return err
	}
	if err := s.collect(ctx); err != nil {
		return err
	}
	if _, err := s.parley(ctx, "drill", "-i", s.identity, "--data", s.data, "--in", s.dir, file); err != nil {
		s.result.problem("%v", err)
	}
	return s.restored(ctx, file, truth, before)
}

// backUp makes a backup.
func (s *safe) backUp(ctx context.Context, file string) error {
	began := time.Now()
	_, err := s.parley(ctx, "backup", "-r", s.recipient, "--data", s.data, file)
	s.result.took("backup max", time.Since(began), 0)
	return err
}

// collect adds to the file of tombstones.
func (s *safe) collect(ctx context.Context) error {
	_, err := s.parley(ctx, "backup", "--tombstones", filepath.Join(s.dir, tombstoneFile), "--data", s.data)
	return err
}
