package access

import (
	"context"
	"fmt"
	"strings"

	"github.com/parley-chat/parley"
)

// NewAccount is an account to be made, with its password in the clear.
type NewAccount struct {
	Email    string
	Name     string
	Role     parley.Role // agent or above
	Password string
}

// Provision makes sure that a site with site.Key exists and has the accounts. It
// is idempotent: a site that exists keeps its id and gets the new name and
// origins; an account whose e-mail address exists is left as it is, with the
// password and role it has now. It returns the site and the accounts as stored,
// in the order given. It is meant for the start of a process: two at once may
// make an account twice.
func (a *Access) Provision(ctx context.Context, site parley.Site, accounts []NewAccount) (parley.Site, []parley.Account, error) {
	site, err := a.provisionSite(ctx, site)
	if err != nil {
		return parley.Site{}, nil, fmt.Errorf("provision site: %w", err)
	}
	stored := make([]parley.Account, 0, len(accounts))
	for _, n := range accounts {
		account, err := a.provisionAccount(ctx, site.ID, n)
		if err != nil {
			return parley.Site{}, nil, fmt.Errorf("provision account: %w", err)
		}
		stored = append(stored, account)
	}
	return site, stored, nil
}

func (a *Access) provisionSite(ctx context.Context, site parley.Site) (parley.Site, error) {
	existing, err := a.site(ctx, site.Key, a.store.SiteByKey)
	switch {
	case err == nil:
		site.ID = existing.ID
	case !notFound(err):
		return parley.Site{}, err
	case site.ID == "":
		site.ID = parley.NewID(parley.PrefixSite)
	}
	if !parley.ValidID(site.ID) || !parley.ValidID(site.Key) {
		return parley.Site{}, parley.Errorf(parley.CodeInvalid, "id and key of a site are 1 to %d characters of A-Z a-z 0-9 - _", parley.MaxIDLength)
	}
	return site, a.store.PutSite(ctx, site)
}

func (a *Access) provisionAccount(ctx context.Context, site string, n NewAccount) (parley.Account, error) {
	email := cleanEmail(n.Email)
	if err := validateAccount(email, n.Role); err != nil {
		return parley.Account{}, err
	}
	account, err := a.store.AccountByEmail(ctx, site, email)
	if !notFound(err) {
		return account, err
	}
	name, err := cleanName(n.Name)
	if err != nil {
		return parley.Account{}, err
	}
	hash, err := a.HashPassword(ctx, n.Password)
	if err != nil {
		return parley.Account{}, err
	}
	account = parley.Account{
		Site: site, ID: parley.NewID(parley.PrefixAgent), Email: email, Name: name,
		Role: n.Role, PasswordHash: hash,
	}
	return account, a.store.PutAccount(ctx, account)
}

// maxEmailBytes is the longest address that mail can be sent to (RFC 5321).
const maxEmailBytes = 254

func validateAccount(email string, role parley.Role) error {
	local, domain, _ := strings.Cut(email, "@")
	if local == "" || domain == "" || len(email) > maxEmailBytes {
		return parley.Errorf(parley.CodeInvalid, "the e-mail address is not valid")
	}
	if !role.Staff() {
		return parley.Errorf(parley.CodeInvalid, "the role of an account is agent, supervisor, admin or owner")
	}
	return nil
}
