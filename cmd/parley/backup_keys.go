package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/spf13/pflag"

	"github.com/parley-chat/parley/bridge/backup"
)

// backupKeys are the settings of how backups are encrypted, and opened.
type backupKeys struct {
	PassphraseFile string   `env:"PARLEY_BACKUP_PASSPHRASE_FILE"`
	Recipients     []string `env:"PARLEY_BACKUP_RECIPIENTS"`    // age1…, separated by commas
	IdentityFile   string   `env:"PARLEY_BACKUP_IDENTITY_FILE"` // that opens them
	plain          bool
}

func (k *backupKeys) readEnvironment() error {
	if err := env.Parse(k); err != nil {
		return fmt.Errorf("read settings from the environment: %w", err)
	}
	return nil
}

func (k *backupKeys) passphrase() (string, error) {
	if k.PassphraseFile == "" {
		return "", nil
	}
	data, err := os.ReadFile(k.PassphraseFile)
	if err != nil {
		return "", fmt.Errorf("PARLEY_BACKUP_PASSPHRASE_FILE: %w", err)
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", fmt.Errorf("PARLEY_BACKUP_PASSPHRASE_FILE: %s is empty", k.PassphraseFile)
	}
	return text, nil
}

// lock returns what backups are encrypted with, nil if they are to be plain.
func (k *backupKeys) lock() (*backup.Lock, error) {
	passphrase, err := k.passphrase()
	if err != nil {
		return nil, err
	}
	some := passphrase != "" || len(k.Recipients) > 0
	switch {
	case k.plain && len(k.Recipients) > 0:
		return nil, errors.New("--plain and recipients: give one of them")
	case k.plain:
		return nil, nil
	case !some:
		return nil, errors.New(`say who can open the backup, which holds all messages and the server's secret keys:
  -r age1…                         whoever has the key of that recipient; parley backup --new-key FILE makes one
  PARLEY_BACKUP_PASSPHRASE_FILE    whoever knows the passphrase in that file
  --plain                          everybody who gets the file`)
	}
	return backup.NewLock(k.Recipients, passphrase)
}

// how says how backups are encrypted.
func (k *backupKeys) how() string {
	switch n := len(k.Recipients); {
	case k.plain:
		return "not encrypted"
	case n == 1:
		return "encrypted to one recipient"
	case n > 1:
		return fmt.Sprintf("encrypted to %d recipients", n)
	}
	return "encrypted with a passphrase"
}

// key returns what opens backups.
func (k *backupKeys) key() (*backup.Key, error) {
	passphrase, err := k.passphrase()
	if err != nil {
		return nil, err
	}
	identities := ""
	if k.IdentityFile != "" {
		data, err := os.ReadFile(k.IdentityFile)
		if err != nil {
			return nil, fmt.Errorf("read the key: %w", err)
		}
		identities = string(data)
	}
	key, err := backup.NewKey(identities, passphrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.IdentityFile, err)
	}
	return key, nil
}

// makeBackupKey makes a key in a new file, and returns its recipient.
func makeBackupKey(path string) (recipient string, err error) {
	text, recipient, err := backup.NewIdentity()
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("%s exists, and may be the key that opens backups: name another file (its recipient is in it)", path)
	}
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	_, err = f.WriteString(text)
	return recipient, errors.Join(err, f.Sync(), f.Close())
}

// bindKey binds the flag that says what opens backups.
func bindKey(f *pflag.FlagSet, k *backupKeys) {
	f.StringVarP(&k.IdentityFile, "identity", "i", k.IdentityFile, "a file with the key that opens the backup (PARLEY_BACKUP_IDENTITY_FILE)")
}
