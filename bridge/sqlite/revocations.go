package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/parley-chat/parley"
)

const saveRevocation = `INSERT INTO revocations (site, user, device, before) VALUES (?, ?, ?, ?)
	ON CONFLICT (site, user, device) DO UPDATE SET before = max(before, excluded.before)`

// Revoke stores a revocation, and returns when it is durable. An earlier one
// with a higher Before stays.
func (s *Store) Revoke(ctx context.Context, r parley.Revocation) error {
	if r.Site == "" || r.User == "" {
		return parley.Errorf(parley.CodeInvalid, "a revocation needs a site and a user")
	}
	err := s.do(ctx, 1, workFunc(func(w *writer) error {
		_, err := w.exec(saveRevocation, r.Site, r.User, r.Device, r.Before)
		return err
	}))
	if err != nil {
		return fmt.Errorf("save revocation: %w", err)
	}
	return nil
}

// Revocations returns all revocations.
func (s *Store) Revocations(ctx context.Context) (all []parley.Revocation, err error) {
	err = s.query(ctx, "read revocations", `SELECT site, user, device, before FROM revocations`, nil, func(rows *sql.Rows) error {
		var r parley.Revocation
		err := rows.Scan(&r.Site, &r.User, &r.Device, &r.Before)
		all = append(all, r)
		return err
	})
	return all, err
}
