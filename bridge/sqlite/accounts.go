package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/parley-chat/parley"
)

const (
	saveSite = `INSERT INTO sites (id, key, name, origins) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET key = excluded.key, name = excluded.name, origins = excluded.origins`
	saveAccount = `INSERT INTO accounts (site, id, email, name, role, password) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (site, id) DO UPDATE SET email = excluded.email, name = excluded.name, role = excluded.role, password = excluded.password`
)

// PutSite writes a site, new or changed. A key that another site has is refused
// with CodeConflict.
func (s *Store) PutSite(ctx context.Context, site parley.Site) error {
	if site.ID == "" || site.Key == "" {
		return parley.Errorf(parley.CodeInvalid, "a site needs an id and a key")
	}
	origins, err := json.Marshal(site.Origins)
	if err != nil {
		return fmt.Errorf("save site: %w", err)
	}
	return s.put(ctx, "save site", "another site has this key",
		`SELECT 1 FROM sites WHERE key = ? AND id <> ?`, []any{site.Key, site.ID},
		saveSite, []any{site.ID, site.Key, site.Name, string(origins)})
}

// PutAccount writes an account, new or changed. An email that another account of
// the site has is refused with CodeConflict.
func (s *Store) PutAccount(ctx context.Context, a parley.Account) error {
	if a.Site == "" || a.ID == "" || a.Email == "" {
		return parley.Errorf(parley.CodeInvalid, "an account needs a site, an id and an email")
	}
	return s.put(ctx, "save account", "another account has this email",
		`SELECT 1 FROM accounts WHERE site = ? AND email = ? AND id <> ?`, []any{a.Site, a.Email, a.ID},
		saveAccount, []any{a.Site, a.ID, a.Email, a.Name, string(a.Role), a.PasswordHash})
}

// put writes a row unless the query taken finds one that stands against it.
func (s *Store) put(ctx context.Context, action, conflict, taken string, takenArgs []any, write string, writeArgs []any) error {
	found := false
	err := s.do(ctx, 1, workFunc(func(w *writer) (err error) {
		if found, err = w.find(taken, takenArgs, new(int)); err != nil || found {
			return err
		}
		_, err = w.exec(write, writeArgs...)
		return err
	}))
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	if found {
		return parley.Errorf(parley.CodeConflict, "%s", conflict)
	}
	return nil
}

// SiteByKey returns the site with that public key, or CodeNotFound.
func (s *Store) SiteByKey(ctx context.Context, key string) (parley.Site, error) {
	return s.oneSite(ctx, `WHERE key = ?`, key)
}

// Site returns the site with that id, or CodeNotFound.
func (s *Store) Site(ctx context.Context, id string) (parley.Site, error) {
	return s.oneSite(ctx, `WHERE id = ?`, id)
}

func (s *Store) oneSite(ctx context.Context, where, value string) (parley.Site, error) {
	if value == "" {
		return parley.Site{}, fmt.Errorf("read site: %w", errEmptySite)
	}
	sites, err := s.sites(ctx, where, value)
	if err != nil {
		return parley.Site{}, err
	}
	if len(sites) == 0 {
		return parley.Site{}, parley.Errorf(parley.CodeNotFound, "no such site")
	}
	return sites[0], nil
}

// Sites returns all sites, ordered by id.
func (s *Store) Sites(ctx context.Context) ([]parley.Site, error) {
	return s.sites(ctx, `ORDER BY id`)
}

func (s *Store) sites(ctx context.Context, tail string, args ...any) ([]parley.Site, error) {
	var sites []parley.Site
	err := s.query(ctx, "read sites", `SELECT id, key, name, origins FROM sites `+tail, args, func(rows *sql.Rows) error {
		var site parley.Site
		var origins []byte
		if err := rows.Scan(&site.ID, &site.Key, &site.Name, &origins); err != nil {
			return err
		}
		sites = append(sites, site)
		return json.Unmarshal(origins, &sites[len(sites)-1].Origins)
	})
	if err != nil {
		return nil, err
	}
	return sites, nil
}

// AccountByEmail returns the site's account with that email, which is compared
// byte by byte, or CodeNotFound.
func (s *Store) AccountByEmail(ctx context.Context, site, email string) (parley.Account, error) {
	return s.account(ctx, site, `AND email = ?`, email)
}

// Account returns the site's account with that id, or CodeNotFound.
func (s *Store) Account(ctx context.Context, site, id string) (parley.Account, error) {
	return s.account(ctx, site, `AND id = ?`, id)
}

func (s *Store) account(ctx context.Context, site, and, value string) (a parley.Account, err error) {
	if site == "" {
		return a, fmt.Errorf("read account: %w", errEmptySite)
	}
	err = s.query(ctx, "read account", `SELECT site, id, email, name, role, password FROM accounts WHERE site = ? `+and, []any{site, value}, func(rows *sql.Rows) error {
		return rows.Scan(&a.Site, &a.ID, &a.Email, &a.Name, (*string)(&a.Role), &a.PasswordHash)
	})
	if err != nil {
		return parley.Account{}, err
	}
	if a.ID == "" {
		return a, parley.Errorf(parley.CodeNotFound, "no such account")
	}
	return a, nil
}
