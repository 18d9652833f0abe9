package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/bridge/seal"
)

func newMigrate() *cobra.Command {
	m := migration{probe: probeStore, from: namedStore{name: "--from", fileName: "--from-file"}, to: namedStore{name: "--to", fileName: "--to-file"}}
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Copy everything from one store into another, and compare them",
		Long: `Copy everything from one store into another, with its numbering, so that devices
go on where they are. Then read both to the end and compare every entry and every
row; only if they are the same can the copy be opened.

Stop the servers of both stores before. What was broken off goes on when it is
started again; if a server has used the store that is copied meanwhile, delete the
copy and start anew.

Nothing in the store that is copied changes. After its server was killed its files
may still have texts that were deleted; the copy has none of them. Delete the old
store when the new one is in use. Attachments stay where they are: what is known
about them is copied, the files are not. With --seal, files of before stay plain.

A store is sqlite:FOLDER or mongodb://…; everybody on this machine sees a password
given here: use --from-file and --to-file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := env.Parse(&m.keys); err != nil {
				return fmt.Errorf("read settings from the environment: %w", err)
			}
			m.screen, m.log = cmd.OutOrStdout(), slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			return m.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&m.from.text, "from", "", "the store that is copied")
	f.StringVar(&m.from.file, "from-file", "", "a file that holds what --from would say")
	f.StringVar(&m.to.text, "to", "", "the new store")
	f.StringVar(&m.to.file, "to-file", "", "a file that holds what --to would say")
	f.BoolVar(&m.seal, "seal", false, "seal what sealed sites have written before they were, see parley key")
	f.BoolVar(&m.compareOnly, "compare", false, "copy nothing, only compare two stores")
	return cmd
}

// migration is one run of parley migrate.
type migration struct {
	from, to    namedStore
	compareOnly bool
	seal        bool
	keys        keySettings // for what lists show of sealed sites; the rest is copied as it is
	probe       bool        // whether a server is tested before it is trusted

	screen io.Writer
	log    *slog.Logger
	told   time.Time
}

func (m *migration) run(ctx context.Context) error {
	from, to, err := m.locations()
	if err != nil {
		return err
	}
	opened, err := from.openToRead(ctx, m.probe, m.log)
	source := sourceStore{wholeStore: opened, side: side{"--from", from}}
	if err != nil {
		return source.side.wrap(err)
	}
	if m.seal {
		sealed, err := m.sealing(ctx, opened)
		if err != nil {
			return errors.Join(source.side.wrap(err), source.Close())
		}
		defer func() { _ = sealed.Close() }() // it only ends what runs
		source.sealed = sealed.Sealing(opened)
	}
	before, err := m.lastUsed(ctx, source)
	switch {
	case err != nil:
	case m.compareOnly:
		err = m.onlyCompare(ctx, source, to, before)
	default:
		if _, err = m.keys.check(ctx, source); err == nil { // before, not after, hours of copying
			err = m.copy(ctx, source, to, before)
		}
	}
	return errors.Join(err, source.Close())
}

// sealing opens what seals the entries that are copied.
func (m *migration) sealing(ctx context.Context, opened wholeStore) (*seal.Store, error) {
	behind, ok := opened.(bridge.Store)
	if !ok {
		return nil, errors.New("this store cannot be sealed")
	}
	keys, err := m.keys.keys()
	if err != nil {
		return nil, err
	}
	s, err := seal.Open(ctx, behind, seal.Options{Keys: keys, Logger: m.log, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	if sites, _ := s.Status(); len(sites) == 0 {
		return nil, errors.Join(errors.New("no site is sealed: parley key seal begins with that"), s.Close())
	}
	return s, nil
}

// locations names what is wrong with both stores at once.
func (m *migration) locations() (from, to location, err error) {
	for _, part := range []struct {
		namedStore
		found *location
	}{{m.from, &from}, {m.to, &to}} {
		l, bad := part.location()
		if bad == nil && l == (location{}) {
			bad = fmt.Errorf("%s: name a store, sqlite:FOLDER or mongodb://…", part.name)
		}
		*part.found, err = l, errors.Join(err, bad)
	}
	if err == nil && from.same(to) {
		err = errors.New("--from and --to are the same store")
	}
	return from, to, err
}

func (m *migration) onlyCompare(ctx context.Context, source sourceStore, to location, before time.Time) error {
	opened, err := to.openToRead(ctx, m.probe, m.log)
	target := sourceStore{wholeStore: opened, side: side{"--to", to}}
	if err != nil {
		return target.side.wrap(err)
	}
	err = m.compare(ctx, source, target)
	return errors.Join(m.inUse(ctx, source, before), err, target.Close())
}

// copy fills the new store, compares it, and makes it one that can be used.
func (m *migration) copy(ctx context.Context, source sourceStore, to location, before time.Time) error {
	opened, err := to.openToFill(ctx, source.Epoch(), m.probe, m.log)
	target := targetStore{sourceStore{wholeStore: opened, side: side{"--to", to}}, opened}
	if err != nil {
		return target.side.wrap(err)
	}
	if err := errors.Join(m.fill(ctx, source, target, before), target.Close()); err != nil {
		return err
	}
	if err := settle(ctx, to, m.keys, m.log); err != nil {
		return target.side.wrap(fmt.Errorf("the copy is complete and can be used, but what lists show was not brought up to date; a server that is started on it does that: %w", err))
	}
	_, err = fmt.Fprintf(m.screen, `done: start the server with PARLEY_STORE=%s
%s is as it was, with all that it had: its files may have texts that were deleted. Delete it when the new store is in use.
%s`, to, source.side.at, whereFilesStay(source.side.at))
	return err
}

// whereFilesStay tells what becomes of attachments: what is known about them is copied,
// their bytes are not, and may be in the folder that is to be deleted.
func whereFilesStay(from location) string {
	if folder := (&config{}).attachmentFolder(from); folder != "" {
		if _, err := os.Stat(folder); err == nil {
			return fmt.Sprintf("Attachments are not copied. Theirs is the folder %s: move it to where it shall stay before you delete anything, and start the server with PARLEY_ATTACHMENTS= that place.\n", folder)
		}
	}
	return "Attachments are not copied: they stay where PARLEY_ATTACHMENTS says, if it says something. Let it say the same from now on.\n"
}

// fill copies, compares and finishes. Its errors tell what to do.
func (m *migration) fill(ctx context.Context, source sourceStore, target targetStore, before time.Time) error {
	done, err := mirror.Copy(ctx, source, target, m.options("copied"))
	if err == nil {
		m.say("copied", done)
		err = m.compare(ctx, source, target)
	}
	used := m.inUse(ctx, source, before)
	if errors.Is(used, errUsed) {
		return fmt.Errorf("%w, delete the copy, %s, and start the migration anew", used, target.side.at)
	}
	if err == nil {
		err = used
	}
	if err == nil {
		err = target.Finish(ctx)
	}
	var differ *mirror.Differences
	switch {
	case errors.As(err, &differ):
		return fmt.Errorf("%w. Most likely %s has changed since the copy was begun: stop its server, delete the copy, %s, and start the migration anew", err, source.side.at, target.side.at)
	case mirror.Passes(err):
		return fmt.Errorf("%w. What was copied stays: run the same migration again, it goes on from there", err)
	}
	return err
}

// settle brings what lists show in the copy up to date with its entries, as a server
// does at its start: in the store of one that was killed it is behind, and may have
// texts that were deleted. Closing the store takes them from its files.
func settle(ctx context.Context, to location, keys keySettings, log *slog.Logger) error {
	s, _, err := to.open(ctx, false, log) // it has been probed
	if err != nil {
		return err
	}
	// The server that is started on it wraps its data keys with a newer master key, if there is one.
	sealed, err := keys.open(ctx, s, seal.Options{Logger: log, ReadOnly: true})
	if err != nil {
		return errors.Join(err, s.Close())
	}
	b, err := bridge.New(ctx, sealed, bridge.Options{Logger: log})
	if err == nil {
		err = b.Close()
	}
	return errors.Join(err, sealed.Close(), s.Close())
}

// usedLately is how young the last sign of a server is that may still run.
const usedLately = time.Minute

// lastUsed returns when a server left the last sign in a store that several may have
// open, and warns when that is not long ago.
func (m *migration) lastUsed(ctx context.Context, s sourceStore) (time.Time, error) {
	used, ok := s.wholeStore.(usedStore)
	if !ok {
		return time.Time{}, nil // nobody else can have it open
	}
	at, err := used.LastUsed(ctx)
	if since := time.Since(at); err == nil && since < usedLately {
		_, err = fmt.Fprintf(m.screen, "warning: a server has used %s %s %d s ago; is it stopped?\n", s.side.name, s.side.at, max(0, int64(since.Seconds())))
	}
	return at, s.side.wrap(err)
}

var errUsed = errors.New("a server has used this store meanwhile: stop it")

// inUse fails if a server has left a sign since before.
func (m *migration) inUse(ctx context.Context, s sourceStore, before time.Time) error {
	used, ok := s.wholeStore.(usedStore)
	if !ok {
		return nil
	}
	at, err := used.LastUsed(ctx)
	if err == nil && !at.Equal(before) {
		err = errUsed
	}
	return s.side.wrap(err)
}

func (m *migration) compare(ctx context.Context, source, target bridge.Portable) error {
	done, err := mirror.Compare(ctx, source, target, m.options("compared"))
	if err == nil {
		m.say("the same", done)
	}
	return err
}

func (m *migration) options(what string) mirror.Options {
	return mirror.Options{Tell: m.tell(what), Names: [2]string{"--from", "--to"}}
}

// tell shows progress once a second, and whenever it has to wait.
func (m *migration) tell(what string) func(mirror.Progress) {
	m.told = time.Now()
	return func(p mirror.Progress) {
		if p.Trouble != nil || time.Since(m.told) >= time.Second {
			m.told = time.Now()
			m.say(what, p)
		}
	}
}

func (m *migration) say(what string, p mirror.Progress) {
	trouble := ""
	if p.Trouble != nil {
		trouble = fmt.Sprintf("; waiting, then trying again: %v", p.Trouble)
	}
	_, _ = fmt.Fprintf(m.screen, "%s: %d streams, %d entries, %d rows%s\n", what, p.Streams, p.Entries, p.Rows, trouble) // a screen that is gone stops nothing
}
