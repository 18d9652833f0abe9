package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/seal"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// keyCommand is one run of a parley key command.
type keyCommand struct {
	config config
	site   string
	all    bool
	renew  bool
	said   strings.Builder
}

func newKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Encrypt what people write, and change the keys",
		Long: `Sites that are sealed have what people write encrypted in the store, with a data
key for each site. Data keys are in the store, wrapped with a master key; that is in
the file that PARLEY_KEY_FILE names, and nowhere else: whoever loses it has lost
everything that is sealed.

	parley key new                      makes that file
	parley key seal --site my-shop      with the server stopped
	parley key rotate                   with the server running or stopped

These commands need the same PARLEY_STORE, PARLEY_DATA or --data as the server.
What this protects, and what not, is in bridge/seal/DESIGN.md.`,
	}
	cmd.AddCommand(
		newKeyCommand("new", "Make a key file, or print a key", func(c *keyCommand, ctx context.Context) error { return c.make() }),
		newKeyCommand("rotate", "Put a new master key in front of the others", (*keyCommand).rotate),
		newKeyCommand("seal", "Encrypt a site from now on", (*keyCommand).seal),
		newKeyCommand("status", "Tell what is sealed, and with which keys", (*keyCommand).status),
	)
	return cmd
}

func newKeyCommand(name, short string, run func(c *keyCommand, ctx context.Context) error) *cobra.Command {
	c := &keyCommand{config: defaultConfig()}
	environment := c.config.readEnvironment()
	cmd := &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if environment != nil {
				return environment
			}
			err := run(c, cmd.Context())
			_, said := fmt.Fprint(cmd.OutOrStdout(), c.said.String())
			return errors.Join(err, said)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.config.KeyFile, "key-file", c.config.KeyFile, "the file with the master keys (PARLEY_KEY_FILE)")
	if name == "new" {
		return cmd
	}
	f.Var(storeFlag{&c.config, &c.config.Store}, "store", `the store, sqlite:FOLDER or mongodb://… (PARLEY_STORE, default "sqlite:./data")`)
	f.Var(storeFlag{&c.config, &c.config.Data}, "data", "folder of the embedded store (PARLEY_DATA)")
	switch name {
	case "rotate":
		f.BoolVar(&c.renew, "new-data-keys", false, "what is written from then on is sealed with new data keys, too")
	case "seal":
		f.StringVar(&c.site, "site", "", "the id of the site")
		f.BoolVar(&c.all, "all", false, "all sites, and those that come")
	}
	return cmd
}

func (c *keyCommand) say(format string, args ...any) { fmt.Fprintf(&c.said, format+"\n", args...) }

// make makes a key file or, where none is named, prints what would be in it.
func (c *keyCommand) make() error {
	m := seal.NewMasterKey(time.Now(), false)
	if c.config.KeyFile == "" {
		c.say("%s", m.Line())
		return nil
	}
	if err := makeKeyFile(c.config.KeyFile, m); err != nil {
		return fmt.Errorf("make the key file: %w", err)
	}
	c.say("made %s with the master key %s; keep a copy elsewhere: nobody can read without it what is sealed", c.config.KeyFile, m.ID())
	return nil
}

// rotate puts a new master key into the key file. A server that runs takes it up by
// itself; where none does, the data keys are wrapped with it here.
func (c *keyCommand) rotate(ctx context.Context) error {
	file := c.config.KeyFile
	if file == "" {
		return errors.New("name the key file with PARLEY_KEY_FILE; where the keys are in PARLEY_KEY, put the output of parley key new in front of them, then start the server anew")
	}
	keys, was, err := readKeyFile(file)
	if err != nil {
		return fmt.Errorf("rotate: %w", err)
	}
	m := seal.NewMasterKey(time.Now(), c.renew)
	if _, err := keys.With(m); err != nil {
		return err
	}
	if err := writeKeyFile(file, was, m); err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	c.say("%s begins with the new master key %s; keep a copy elsewhere", file, m.ID())
	err = c.withThat(ctx, func(s *seal.Store, _ store) error { return s.Rotate(ctx) })
	switch {
	case errors.Is(err, seal.ErrKeys):
		return err
	case errors.Is(err, sqlite.ErrInUse):
		c.say("a server is running on the store: it takes the key up within seconds and says so in its log")
		return nil
	case err != nil:
		c.say("the data keys are not wrapped with it yet, as this command does not open the store:\n  %v\na server with this key file takes the key up within seconds and says so in its log, one that is stopped when it is started", err)
		return nil
	}
	c.say("the data keys are wrapped with it; parley key status tells which of the others are needed")
	return nil
}

// withThat is with, for a store that there is.
func (c *keyCommand) withThat(ctx context.Context, do func(s *seal.Store, behind store) error) error {
	l, err := c.config.location()
	if err == nil {
		err = l.exists()
	}
	if err != nil {
		return err
	}
	return c.with(ctx, do)
}

// with opens the store for what do does.
func (c *keyCommand) with(ctx context.Context, do func(s *seal.Store, behind store) error) error {
	l, err := c.config.location()
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	behind, _, err := l.open(ctx, probeStore && !c.config.trusting, log)
	if err != nil {
		return err
	}
	s, err := c.config.keySettings().open(ctx, behind, seal.Options{Logger: log, ReadOnly: true})
	if err != nil {
		return errors.Join(err, behind.Close())
	}
	return errors.Join(do(s, behind), s.Close(), behind.Close())
}

// seal begins to seal a site, or all of them.
func (c *keyCommand) seal(ctx context.Context) error {
	if c.all == (c.site != "") {
		return errors.New("name a site with --site, or give --all")
	}
	if err := c.named(); err != nil {
		return err
	}
	return c.with(ctx, func(s *seal.Store, behind store) error {
		if err := unused(ctx, behind); err != nil {
			return err
		}
		ids, err := c.chosen(ctx, behind)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := s.SealSite(ctx, id); err != nil {
				return fmt.Errorf("seal the site %s: %w", id, err)
			}
			c.say("the site %s is sealed from now on", id)
		}
		if c.all {
			if err := s.SealNewSites(ctx); err != nil {
				return err
			}
			c.say("sites that come are sealed from their beginning")
		}
		if len(ids) == 0 {
			return nil
		}
		c.say("a server fills the search index again when it starts; what is plain stays so, parley migrate --seal copies it sealed:")
		return c.count(ctx, behind, ids...)
	})
}

// named tells which store is to be sealed. It fails if there is none where none was named:
// whoever forgets to name the server's would seal a new one, and think that it is done.
func (c *keyCommand) named() error {
	l, err := c.config.location()
	if err != nil {
		return err
	}
	missing := l.exists()
	if missing != nil && (c.site != "" || !c.config.namesStore()) {
		return fmt.Errorf("%w\n(name the server's store as the server does, with --data, --store, PARLEY_DATA or PARLEY_STORE; with --all, one that is named is made if there is none)", missing)
	}
	if folder, err := filepath.Abs(l.folder); err == nil && l.folder != "" {
		l.folder = folder
	}
	c.say("the store is %s", l)
	if errors.Is(missing, fs.ErrNotExist) {
		c.say("there was none: this is a new one, to be sealed from its beginning")
	}
	return nil
}

// chosen returns the sites to be sealed. It fails if there is no such one, and tells
// which there are.
func (c *keyCommand) chosen(ctx context.Context, behind store) ([]string, error) {
	sites, err := behind.Sites(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range sites {
		ids = append(ids, s.ID)
	}
	switch {
	case c.all:
		return ids, nil
	case !slices.Contains(ids, c.site):
		return nil, fmt.Errorf("there is no site %s; there are: %s", c.site, strings.Join(ids, ", "))
	}
	return []string{c.site}, nil
}

// unused fails if a server may be using a store that several may have open: it would not
// know that a site is sealed.
func unused(ctx context.Context, behind store) error {
	used, ok := behind.(usedStore)
	if !ok {
		return nil
	}
	at, err := used.LastUsed(ctx)
	if err == nil && time.Since(at) < usedLately {
		err = fmt.Errorf("a server has used the store %d s ago: stop it, and try again in a minute", int64(time.Since(at).Seconds()))
	}
	return err
}

// count tells how many entries of sites are sealed.
func (c *keyCommand) count(ctx context.Context, behind store, ids ...string) error {
	p, ok := behind.(bridge.Portable)
	if !ok {
		return nil
	}
	counts, err := seal.CountEntries(ctx, p)
	if err != nil {
		return err
	}
	for _, id := range ids {
		n := counts[id]
		c.say("  %s: %d entries are sealed, %d are plain, of %d the text was deleted", id, n.Sealed, n.Plain, n.Gone)
	}
	return nil
}

// status tells what is sealed.
func (c *keyCommand) status(ctx context.Context) error {
	return c.withThat(ctx, func(s *seal.Store, behind store) error {
		every := keyCommand{all: true}
		ids, err := every.chosen(ctx, behind)
		if err != nil {
			return err
		}
		c.tell(s)
		return c.count(ctx, behind, ids...)
	})
}

// tell tells which data keys there are, and which master keys they need.
func (c *keyCommand) tell(s *seal.Store) {
	keys, needed := s.Keys(), map[string]bool{}
	sites, every := s.Status()
	for _, is := range sites {
		for _, k := range is.Keys {
			c.say("the site %s is sealed: data key %d, wrapped with %s", is.Site, k.Number, strings.Join(k.Masters, ", "))
			for _, id := range k.Masters {
				needed[id] = true
			}
		}
	}
	switch {
	case every:
		c.say("sites that come are sealed from their beginning")
	case len(sites) == 0:
		c.say("no site is sealed")
	}
	for i, id := range keys.IDs() {
		switch {
		case i == 0:
			c.say("the master key %s is the newest", id)
		case needed[id]:
			c.say("the master key %s is needed until the data keys are wrapped with the newest one", id)
		default:
			c.say("the master key %s is not needed any more, but for backups that are older than the newest one", id)
		}
	}
}
