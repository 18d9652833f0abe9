package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// pauseLimit is how long an acknowledgement may take meanwhile.
const pauseLimit = time.Second

// whileKeysChange puts a new master key in front and makes a backup, before or behind the
// moment when the server takes the key up. Somebody publishes all the while, and must not
// notice.
func (s *safe) whileKeysChange(ctx context.Context, backUp func(context.Context) error) error {
	if s.keys == "" { // tells what a backup alone costs
		err := s.bystander.beside(ctx, backUp)
		s.result.took("acknowledged beside a backup max", s.bystander.quantile(1), 0)
		return err
	}
	before, err := s.metric(ctx, rotations)
	if err != nil {
		return err
	}
	err = s.bystander.beside(ctx, func(ctx context.Context) error {
		if err := s.rotate(ctx); err != nil {
			return err
		}
		if err := sleep(ctx, s.below(2500*time.Millisecond)); err != nil {
			return err
		}
		if err := backUp(ctx); err != nil {
			return err
		}
		return s.awaitRotation(ctx, before)
	})
	s.result.took("acknowledged beside rotation and backup max", s.bystander.quantile(1), pauseLimit)
	return err
}

// rotations is the server's count of them since it has started.
const rotations = "parley_sealed_rotations_total"

// awaitRotation waits until the server has made a rotation more than before.
func (s *safe) awaitRotation(ctx context.Context, before float64) error {
	var made float64
	err := await(ctx, roundTimeout, func() (missing string) {
		var err error
		if made, err = s.metric(ctx, rotations); err != nil {
			return err.Error()
		}
		if made == before {
			return "the server does not take the new master key up"
		}
		return ""
	})
	if ctx.Err() == nil && err != nil {
		s.result.problem("%v", err)
		return nil
	}
	return err
}

// rotate puts a new master key in front, with new data keys in half of the times.
func (s *safe) rotate(ctx context.Context) error {
	args := []string{"key", "rotate", "--data", s.data}
	if s.random.IntN(2) == 0 {
		args = append(args, "--new-data-keys")
	}
	s.result.count("rotations", 1)
	_, err := s.parley(ctx, args...)
	return err
}

// lastKey takes every master key away but the newest. The server goes on with it; the
// first backup needs those of its time.
func (s *safe) lastKey(ctx context.Context) error {
	if s.keys == "" {
		return nil
	}
	if err := s.quiet(ctx); err != nil {
		return err
	}
	truth, err := s.read(ctx)
	if err != nil {
		return err
	}
	if err := s.collect(ctx); err != nil {
		return err
	}
	s.stop(ctx)
	if err := s.rotate(ctx); err != nil {
		return err
	}
	all, err := os.ReadFile(s.keys)
	if err != nil {
		return fmt.Errorf("read the keys: %w", err)
	}
	was := s.keys + ".before"
	if err := errors.Join(os.WriteFile(was, all, 0o600), os.WriteFile(s.keys, []byte(newestKey(string(all))), 0o600)); err != nil {
		return fmt.Errorf("change the keys: %w", err)
	}
	if err := s.restart(ctx); err != nil {
		s.result.problem("a server with the newest master key only: %v", err)
		return nil
	}
	first := filepath.Join(s.dir, firstBackup)
	if err := s.refuses(ctx, s.keys, "needs the master key", "restore", "-i", s.identity, "--to", "sqlite:"+filepath.Join(s.dir, "no"), first); err != nil {
		return err
	}
	s.keys = was
	return s.restored(ctx, first, truth, nil)
}

// newestKey returns the first line of a key file that holds a key.
func newestKey(text string) string {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return ""
}
