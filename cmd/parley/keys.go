package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/seal"
)

// keySettings says where the master keys are; see config.
type keySettings struct {
	Key     string `env:"PARLEY_KEY"`
	KeyFile string `env:"PARLEY_KEY_FILE"`
}

func (c *config) keySettings() keySettings { return keySettings{c.Key, c.KeyFile} }

// keys reads the master keys; none if the settings name none.
func (k keySettings) keys() (seal.Keys, error) {
	switch {
	case k.Key != "" && k.KeyFile != "":
		return seal.Keys{}, errors.New("PARLEY_KEY and PARLEY_KEY_FILE: give one of them")
	case k.KeyFile != "":
		keys, _, err := readKeyFile(k.KeyFile)
		if err != nil {
			return seal.Keys{}, fmt.Errorf("PARLEY_KEY_FILE: %w", err)
		}
		return keys, nil
	case k.Key != "":
		keys, err := seal.ParseKeys(k.Key)
		if err != nil {
			return seal.Keys{}, fmt.Errorf("PARLEY_KEY: %w", err)
		}
		return keys, nil
	}
	return seal.Keys{}, nil
}

// open stands in front of a store with the master keys.
func (k keySettings) open(ctx context.Context, behind bridge.Store, o seal.Options) (*seal.Store, error) {
	var err error
	if o.Keys, err = k.keys(); err != nil {
		return nil, err
	}
	s, err := seal.Open(ctx, behind, o)
	if err != nil {
		return nil, explainKeys(err)
	}
	return s, nil
}

// check fails unless all of a store can be read with the master keys, and returns the ids
// of those that it takes.
func (k keySettings) check(ctx context.Context, from seal.Log) ([]string, error) {
	keys, err := k.keys()
	if err != nil {
		return nil, err
	}
	masters, err := seal.Check(ctx, from, keys)
	return masters, explainKeys(err)
}

// explainKeys says where keys come from, if that is what an error is about.
func explainKeys(err error) error {
	if errors.Is(err, seal.ErrKeys) {
		return fmt.Errorf("%w\n(PARLEY_KEY_FILE names the file with the master keys, the newest first)", err)
	}
	return err
}

// readKeyFile reads the master keys of a file, and its text.
func readKeyFile(name string) (seal.Keys, string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return seal.Keys{}, "", err
	}
	keys, err := seal.ParseKeys(string(text))
	if err != nil {
		return seal.Keys{}, "", fmt.Errorf("%s: %w", name, err)
	}
	return keys, string(text), nil
}

// keyFileHead begins a key file.
const keyFileHead = `# Master keys of Parley, the newest first: an id and the key.
# Without them nothing that is sealed can be read, by nobody: keep a copy elsewhere, apart
# from the backups. A key that was replaced is needed for the backups of its time.
`

// writeKeyFile puts a master key in front of those in a file, which keeps its owner and its
// mode; a link is followed. Whoever reads it meanwhile reads either the old or the new one.
func writeKeyFile(name, was string, m seal.MasterKey) error {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	next := name + ".new"
	f, err := lockFile(next)
	if err != nil {
		return err
	}
	if err := fillKeyFile(f, name, was, m); err != nil {
		return errors.Join(err, dropLocked(f))
	}
	if err := placeLocked(f, name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// fillKeyFile writes what is to take the place of a key file.
func fillKeyFile(f *os.File, name, was string, m seal.MasterKey) error {
	_, now, err := readKeyFile(name)
	if err != nil {
		return err
	}
	if now != was {
		return errors.New("the file has changed meanwhile: try again")
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if err := keepOwner(f, info); err != nil {
		return fmt.Errorf("%w\n(the file has to stay its owner's: run this as that user or as root; nothing was changed)", err)
	}
	_, err = f.WriteString(keyFileHead + m.Line() + "\n" + strings.TrimPrefix(was, keyFileHead))
	return errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync())
}

// makeKeyFile makes a key file with its first master key. There must be none.
func makeKeyFile(name string, m seal.MasterKey) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists: parley key rotate puts a new key into it", name)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(keyFileHead + m.Line() + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// syncFolder makes the names in a folder durable, where the system can.
func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	_ = d.Sync() // Windows has no such thing
	return d.Close()
}

// tellSealed tells the log which sites are sealed, if any or if there are keys for that.
func tellSealed(log *slog.Logger, s *seal.Store, k keySettings) {
	status, every := s.Status()
	if len(status) == 0 && !every {
		if k != (keySettings{}) {
			log.Warn("there is a master key, and no site is sealed: what people write is stored plain; parley key seal, with the settings of this server, seals them")
		}
		return
	}
	const most = 20 // there may be many
	var sites []string
	for _, is := range status[:min(len(status), most)] {
		sites = append(sites, is.Site)
	}
	log.Info("sites are sealed", "count", len(status), "sites", sites, "newSites", every, "newest", s.Keys().Newest())
}

// keyPoll is how often a server looks at its key file.
const keyPoll = 2 * time.Second

// watchKeys takes up what is changed in the key file, until ctx ends.
func watchKeys(ctx context.Context, file string, s *seal.Store, log *slog.Logger) {
	tick := time.NewTicker(keyPoll)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		keys, _, err := readKeyFile(file)
		if err == nil && keys.Equal(s.Keys()) {
			told = ""
			continue
		}
		if err == nil {
			if err = s.Use(keys); err == nil {
				log.Info("the key file has changed", "newest", keys.Newest())
				continue
			}
		}
		if err.Error() != told { // once, not every time
			told = err.Error()
			log.Error("the key file cannot be used; the keys of before are", "error", err)
		}
	}
}
