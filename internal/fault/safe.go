package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
)

// safe is a server, and what is kept of it elsewhere.
type safe struct {
	*world
	bystander *prober
	auditors  []*device.Session // who read users' events
	dir       string            // of backups
	elsewhere string            // a folder with nothing in it, where backups are restored
	data      string            // of the server
	keys      string            // the file with its master keys; empty where nothing is sealed
	identity  string            // the file that opens backups
	others    [2]string         // an identity and a file of master keys that have nothing to do with it
	recipient string
	made      int // backups
}

// Files of a safe.
const (
	tombstoneFile = "tombstones.jsonl"
	firstBackup   = "backup-1.age"
)

// newSafe prepares what is in a folder.
func (l *Lab) newSafe(ctx context.Context, dir string) (*safe, error) {
	at := func(name string) string { return filepath.Join(dir, name) }
	s := &safe{
		world: &world{Lab: l}, dir: dir, data: at("data"), elsewhere: at("elsewhere"), identity: at("identity"),
		others: [2]string{at("other-identity"), at("other-keys")},
	}
	if err := os.Mkdir(s.elsewhere, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	out, err := s.parley(ctx, "backup", "--new-key", s.identity)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	s.recipient = lines[len(lines)-1]
	for _, args := range [][]string{{"backup", "--new-key", s.others[0]}, {"key", "new", "--key-file", s.others[1]}} {
		if _, err := s.parley(ctx, args...); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// command is parley as an operator runs it.
func (s *safe) command(ctx context.Context, keys string, args ...string) *exec.Cmd {
	s.Log.Debug("parley", "args", args)
	cmd := exec.CommandContext(ctx, s.Binary, args...)
	cmd.Dir = s.elsewhere
	cmd.Env = append(cmd.Environ(), "PARLEY_KEY_FILE="+keys)
	return cmd
}

// parley runs a command, which has to succeed.
func (s *safe) parley(ctx context.Context, args ...string) (string, error) {
	out, err := s.command(ctx, s.keys, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("parley %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// refuses runs a command, which has to fail and to say that.
func (s *safe) refuses(ctx context.Context, keys, want string, args ...string) error {
	out, err := s.command(ctx, keys, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		return fmt.Errorf("parley %s: %w", args[0], errors.Join(err, ctx.Err()))
	}
	if said := strings.TrimSpace(string(out)); err == nil || said == "" || !strings.Contains(said, want) {
		s.result.problem("parley %s: %v, want %q in: %s", strings.Join(args, " "), err, want, said)
	}
	s.result.count("refused as it should be", 1)
	return nil
}

// said is what a device has written down.
type said struct {
	records   []record
	now       func() []record // and what it has by now
	textsOnly bool            // it writes nothing else, and reads nothing
}

// journal is what was written down, and what was sent since, which may be stored.
func (b said) journal() []record {
	all := b.records
	for _, r := range b.now()[len(b.records):] {
		if r.Event == checker.Sent {
			all = append(all, r)
		}
	}
	return all
}

// writersSaid is what all who write have written down until now.
func (s *safe) writersSaid() (all []said) {
	for _, w := range s.writers {
		_, texts := w.(*device.Publisher)
		all = append(all, said{w.Records(), w.Records, texts})
	}
	for _, c := range s.household.all {
		all = append(all, said{c.Records(), c.Records, false})
	}
	journal := &s.bystander.journal
	return append(all, said{journal.Records(), journal.Records, true})
}
