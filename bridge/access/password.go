package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"

	"github.com/parley-chat/parley"
)

// Parameters of argon2id, as OWASP's password storage sheet gives them.
const (
	argonMemoryKiB = 19 << 10
	argonTime      = 2
	argonThreads   = 1
	argonSaltBytes = 16
	argonKeyBytes  = 32
)

// Bounds of a password in bytes.
const (
	MinPasswordBytes = 8
	MaxPasswordBytes = 256
)

// concurrentHashes bounds the memory that sign-ins can take: 19 MiB each.
const concurrentHashes = 2

var phcEncoding = base64.RawStdEncoding

// passwords computes argon2id, a few at a time.
type passwords struct {
	slots    chan struct{} // a full channel makes the next caller wait, until its context ends
	dummy    string        // a hash that no password has
	computed atomic.Int64
}

func newPasswords() *passwords {
	noise := make([]byte, argonSaltBytes+argonKeyBytes)
	_, _ = rand.Read(noise) // never fails
	return &passwords{
		slots: make(chan struct{}, concurrentHashes),
		dummy: formatPHC(noise[:argonSaltBytes], noise[argonSaltBytes:]),
	}
}

// HashPassword returns password as argon2id in PHC form. It takes about 40 ms
// and 19 MiB, and waits for its turn or the end of ctx. A password outside
// MinPasswordBytes and MaxPasswordBytes is CodeInvalid.
func (a *Access) HashPassword(ctx context.Context, password string) (string, error) {
	if len(password) < MinPasswordBytes || len(password) > MaxPasswordBytes {
		return "", parley.Errorf(parley.CodeInvalid, "a password has %d to %d bytes", MinPasswordBytes, MaxPasswordBytes)
	}
	salt := make([]byte, argonSaltBytes)
	_, _ = rand.Read(salt) // never fails
	key, err := a.passwords.compute(ctx, password, salt, argonKeyBytes)
	if err != nil {
		return "", err
	}
	return formatPHC(salt, key), nil
}

// match reports whether hash is of password. An empty hash stands for an
// account that does not exist and costs as much as any other.
func (p *passwords) match(ctx context.Context, hash, password string) (bool, error) {
	if hash == "" {
		hash = p.dummy
	}
	salt, want, err := parsePHC(hash)
	if err != nil {
		return false, err
	}
	got, err := p.compute(ctx, password, salt, uint32(len(want)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

func (p *passwords) compute(ctx context.Context, password string, salt []byte, keyBytes uint32) ([]byte, error) {
	if err := p.wait(ctx); err != nil {
		return nil, fmt.Errorf("wait to hash a password: %w", err)
	}
	defer func() { <-p.slots }()
	p.computed.Add(1)
	return argon2.IDKey([]byte(password), salt, argonTime, argonMemoryKiB, argonThreads, keyBytes), nil
}

func (p *passwords) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err() // select would choose a free slot now and then
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func phcPrefix() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, argonMemoryKiB, argonTime, argonThreads)
}

func formatPHC(salt, key []byte) string {
	return phcPrefix() + phcEncoding.EncodeToString(salt) + "$" + phcEncoding.EncodeToString(key)
}

var errPasswordHash = errors.New("stored password hash is not argon2id with this server's parameters")

// parsePHC accepts the one set of parameters that was ever written; another set
// arrives together with the code that reads it.
func parsePHC(hash string) (salt, key []byte, err error) {
	rest, ok := strings.CutPrefix(hash, phcPrefix())
	if !ok {
		return nil, nil, errPasswordHash
	}
	s, k, _ := strings.Cut(rest, "$")
	salt, saltErr := phcEncoding.DecodeString(s)
	key, keyErr := phcEncoding.DecodeString(k)
	if saltErr != nil || keyErr != nil || len(salt) != argonSaltBytes || len(key) != argonKeyBytes {
		return nil, nil, errPasswordHash
	}
	return salt, key, nil
}

// fingerprint names a password hash without revealing it: the hash holds a
// random salt, so this is no help in guessing.
func fingerprint(passwordHash string) string {
	sum := sha256.Sum256([]byte(passwordHash))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}
