package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// brokenOff begins a backup, and lets it be, or kills the server in the middle of it, or
// the command that makes it.
func (s *safe) brokenOff(ctx context.Context) error {
	file := filepath.Join(s.dir, "broken-off.age")
	defer func() { _ = os.Remove(file) }() // with the rest, at the latest
	switch s.random.IntN(3) {
	case 0:
		return s.killedServer(ctx, file)
	case 1:
		return s.killedCommand(ctx, file)
	}
	return nil
}

// brokenWithin is in which time a backup is broken off: it takes about half of that.
const brokenWithin = 200 * time.Millisecond

// killedServer kills the server in the middle of a backup: nothing has its name that is
// not whole, and nothing is left of what is not.
func (s *safe) killedServer(ctx context.Context, file string) error {
	cmd := s.command(ctx, s.keys, "backup", "-r", s.recipient, "--data", s.data, file)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Run() }()
	if err := sleep(ctx, s.below(brokenWithin)); err != nil {
		return errors.Join(err, <-ended)
	}
	s.server.Kill()
	made := <-ended
	s.result.count("servers killed while they made one", 1)
	_, there := os.Lstat(file)
	_, part := os.Lstat(file + ".partial")
	if part == nil || (there == nil) != (made == nil) {
		s.result.problem("a backup whose server was killed ends with %v, its file is there: %v, a part is left: %v", made, there == nil, part == nil)
	}
	if err := s.wholeOrNone(ctx, file); err != nil {
		return err
	}
	return s.restart(ctx)
}

// killedCommand kills the command that makes a backup: nothing has its name that is not
// whole, and the next one takes the place of what is left.
func (s *safe) killedCommand(ctx context.Context, file string) error {
	attempt, cancel := context.WithTimeout(ctx, s.below(brokenWithin))
	made := s.command(attempt, s.keys, "backup", "-r", s.recipient, "--data", s.data, file).Run() // ended with SIGKILL
	cancel()
	if made != nil {
		s.result.count("backups killed", 1)
	}
	if err := s.wholeOrNone(ctx, file); err != nil {
		return err
	}
	if err := os.RemoveAll(file); err != nil {
		return fmt.Errorf("remove a backup: %w", err)
	}
	if err := s.backUp(ctx, file); err != nil {
		s.result.problem("a backup behind one that was killed: %v", err)
	}
	return s.wholeOrNone(ctx, file)
}

// wholeOrNone proves a backup, if there is one.
func (s *safe) wholeOrNone(ctx context.Context, file string) error {
	if _, err := os.Lstat(file); err != nil {
		return nil //nolint:nilerr // there is none
	}
	if _, err := s.parley(ctx, "restore", "-i", s.identity, "--check", file); err != nil {
		s.result.problem("what has the name of a backup: %v", err)
	}
	return ctx.Err()
}
