package backup_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/parley-chat/parley/bridge/backup"
)

// TestFlipsSealed does the same to one that is encrypted.
func TestFlipsSealed(t *testing.T) {
	text, recipient, err := backup.NewIdentity()
	must(t, err)
	lock, err := backup.NewLock([]string{recipient}, "")
	must(t, err)
	var file bytes.Buffer
	sealed, err := lock.Seal(&file)
	must(t, err)
	_, err = sealed.Write(small(t))
	must(t, errors.Join(err, sealed.Close()))
	key, err := backup.NewKey(text, "")
	must(t, err)
	try := func(data []byte) error {
		inside, _, err := key.Open(bytes.NewReader(data))
		if err != nil {
			return err
		}
		_, _, _, err = backup.Check(t.Context(), inside, backup.NewTombstones(), nobody)
		return err
	}
	must(t, try(file.Bytes()))
	for at := range file.Len() {
		flipped := bytes.Clone(file.Bytes())
		flipped[at] ^= 1 << (at % 8)
		if try(flipped) == nil {
			t.Errorf("a bit of byte %d changed is not noticed", at)
		}
		if err := try(file.Bytes()[:at]); err == nil {
			t.Errorf("cut off at %d is not noticed", at)
		}
	}
}

func TestKeys(t *testing.T) {
	whole := small(t)
	mine, recipient, err := backup.NewIdentity()
	must(t, err)
	other, _, err := backup.NewIdentity()
	must(t, err)
	seal := func(recipients []string, passphrase string) []byte {
		lock, err := backup.NewLock(recipients, passphrase)
		must(t, err)
		var file bytes.Buffer
		w, err := lock.Seal(&file)
		must(t, err)
		_, err = w.Write(whole)
		must(t, errors.Join(err, w.Close()))
		return file.Bytes()
	}
	toMe, withWord := seal([]string{recipient}, ""), seal(nil, "open sesame")
	for name, c := range map[string]struct {
		file             []byte
		identities, word string
		want             error
	}{
		"mine":             {toMe, mine, "", nil},
		"another's":        {toMe, other, "", backup.ErrWrongKey},
		"both":             {toMe, other + mine, "", nil},
		"none":             {toMe, "", "", backup.ErrNoKey},
		"a passphrase":     {withWord, "", "open sesame", nil},
		"another":          {withWord, "", "open barley", backup.ErrWrongKey},
		"a key for a word": {withWord, mine, "", backup.ErrWrongKey},
		"plain":            {whole, mine, "", nil},
	} {
		key, err := backup.NewKey(c.identities, c.word)
		must(t, err)
		inside, _, err := key.Open(bytes.NewReader(c.file))
		if err == nil {
			_, err = io.Copy(io.Discard, inside)
		}
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := backup.NewKey("AGE-SECRET-KEY-1NOTONE", ""); err == nil || strings.Contains(err.Error(), "NOTONE") {
		t.Errorf("a bad key: %v", err)
	}
	if _, err := backup.NewLock([]string{"age1nobody"}, ""); err == nil || !strings.Contains(err.Error(), "age1nobody") {
		t.Errorf("a bad recipient: %v", err)
	}
}
