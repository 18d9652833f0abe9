package backup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

const ageMagic = "age-encryption.org/"

// Lock encrypts a backup with age.
type Lock struct{ recipients []age.Recipient }

// NewLock returns the lock that the owners of any of the recipients (age1…) can open,
// or whoever knows the passphrase. There is one of both.
func NewLock(recipients []string, passphrase string) (*Lock, error) {
	if passphrase != "" && len(recipients) > 0 {
		return nil, errors.New("a backup is encrypted to recipients or with a passphrase, not both")
	}
	if passphrase != "" {
		r, err := age.NewScryptRecipient(passphrase)
		if err != nil {
			return nil, err
		}
		return &Lock{[]age.Recipient{r}}, nil
	}
	l := &Lock{}
	for _, text := range recipients {
		found, err := age.ParseRecipients(strings.NewReader(text + "\n"))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("%q is not a recipient like age1…", text)
		}
		l.recipients = append(l.recipients, found...)
	}
	if len(l.recipients) == 0 {
		return nil, errors.New("there is no recipient")
	}
	return l, nil
}

// Seal returns a writer that encrypts to w. Closing it ends the encryption, and
// leaves w open.
func (l *Lock) Seal(w io.Writer) (io.WriteCloser, error) {
	sealed, err := age.Encrypt(w, l.recipients...)
	if err != nil {
		return nil, fmt.Errorf("begin to encrypt: %w", err)
	}
	return sealed, nil
}

// Key opens backups that are encrypted.
type Key struct{ identities []age.Identity }

// NewKey returns the key that is in a file of identities (AGE-SECRET-KEY-1…), or the
// one of a passphrase, or both. Without any of them it opens what is not encrypted.
func NewKey(identities string, passphrase string) (*Key, error) {
	k := &Key{}
	if identities != "" {
		found, err := age.ParseIdentities(strings.NewReader(identities))
		if err != nil {
			return nil, errors.New("this is not a file of keys like AGE-SECRET-KEY-1…") // age's error may quote one
		}
		k.identities = found
	}
	if passphrase != "" {
		id, err := age.NewScryptIdentity(passphrase)
		if err != nil {
			return nil, err
		}
		id.SetMaxWorkFactor(22)
		k.identities = append(k.identities, id)
	}
	return k, nil
}

// The errors of keys.
var (
	ErrNoKey    = errors.New("the backup is encrypted, and no key was given")
	ErrWrongKey = errors.New("the backup is encrypted, and the key that was given does not open it")
)

// Open returns what is in a file, decrypted if it is encrypted.
func (k *Key) Open(r io.Reader) (contents io.Reader, encrypted bool, err error) {
	file := bufio.NewReaderSize(r, 1<<18)
	begins, _ := file.Peek(len(armor.Header)) // shorter: it is foreign, or cut off, and found to be
	var sealed io.Reader = file
	switch {
	case bytes.HasPrefix(begins, []byte(armor.Header)):
		sealed = armor.NewReader(file)
	case !bytes.HasPrefix(begins, []byte(ageMagic)):
		return file, false, nil
	}
	if len(k.identities) == 0 {
		return nil, true, ErrNoKey
	}
	opened, err := age.Decrypt(sealed, k.identities...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return nil, true, ErrWrongKey
	case err != nil:
		return nil, true, sealedError(err)
	}
	return &sealedReader{opened}, true, nil
}

// sealedReader tells what age finds in our words.
type sealedReader struct{ r io.Reader }

func (s *sealedReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = sealedError(err)
	}
	return n, err
}

// sealedError is the error of a file that does not decrypt. What was cut off and what
// was changed look alike where the file ends; a file that cannot be read is neither.
func sealedError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return ErrCutOff
	}
	var path interface{ Timeout() bool } // of the system: *fs.PathError and its like
	if errors.As(err, &path) {
		return err
	}
	return fmt.Errorf("%w (it does not decrypt, or is cut off: %w)", ErrDamaged, err)
}

// NewIdentity makes a key: the text of its file, which opens backups, and the
// recipient that they are encrypted to.
func NewIdentity() (file, recipient string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", err
	}
	recipient = id.Recipient().String()
	return fmt.Sprintf("# opens backups that are encrypted to\n# %s\n%s\n", recipient, id), recipient, nil
}
