package sqlite

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/parley-chat/parley"
)

// Secret returns the store's secret of that name, made of n random bytes at the
// first call; n plays no part in later calls.
func (s *Store) Secret(ctx context.Context, name string, n int) ([]byte, error) {
	if name == "" || n < 1 {
		return nil, parley.Errorf(parley.CodeInvalid, "a secret needs a name and a length")
	}
	var secret []byte
	err := s.do(ctx, 1, workFunc(func(w *writer) error {
		found, err := w.find(`SELECT value FROM secrets WHERE name = ?`, []any{name}, &secret)
		if err != nil || found {
			return err
		}
		secret = make([]byte, n)
		_, _ = rand.Read(secret) // never fails: crypto/rand ends the process instead
		_, err = w.exec(`INSERT INTO secrets (name, value) VALUES (?, ?)`, name, secret)
		return err
	}))
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	return secret, nil
}
