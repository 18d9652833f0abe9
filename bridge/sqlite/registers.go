package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

const (
	saveRegister = `INSERT INTO registers (site, user, key, value, version) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (site, user, key) DO UPDATE SET value = excluded.value, version = excluded.version
		WHERE excluded.version > registers.version`

	// forgetRegisters removes empty registers of a user but the newest ones.
	forgetRegisters = `DELETE FROM registers WHERE site = ?1 AND user = ?2 AND value = 'null' AND version <=
		(SELECT version FROM registers WHERE site = ?1 AND user = ?2 AND value = 'null' ORDER BY version DESC LIMIT 1 OFFSET ?3)`
)

// SaveRegisters writes rows of the projection of personal registers; see
// bridge.Store.
func (s *Store) SaveRegisters(ctx context.Context, rows []bridge.UserRegister) error {
	for i := range rows {
		if rows[i].Site == "" {
			return fmt.Errorf("save registers: %w", errEmptySite)
		}
	}
	rows = slices.Clone(rows) // a caller that gives up may use its slice again
	err := s.doLazily(ctx, len(rows)+1, workFunc(func(w *writer) error {
		for _, r := range rows {
			if _, err := w.exec(saveRegister, r.Site, r.User, r.Key, string(r.Value), r.Version); err != nil {
				return err
			}
			if string(r.Value) != "null" {
				continue
			}
			if _, err := w.exec(forgetRegisters, r.Site, r.User, bridge.EmptyRegisters); err != nil {
				return err
			}
		}
		return nil
	}))
	if err != nil {
		return fmt.Errorf("save registers: %w", err)
	}
	return nil
}

// Registers returns a user's registers; see bridge.Store.
func (s *Store) Registers(ctx context.Context, site, user string) (all []parley.Register, err error) {
	if site == "" {
		return nil, fmt.Errorf("read registers: %w", errEmptySite)
	}
	err = s.query(ctx, "read registers", `SELECT key, value, version FROM registers WHERE site = ? AND user = ?`, []any{site, user}, func(rows *sql.Rows) error {
		var r parley.Register
		var value string
		err := rows.Scan(&r.Key, &value, &r.Version)
		r.Value = []byte(value)
		all = append(all, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
