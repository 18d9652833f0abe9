package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parley-chat/parley"
)

// VisitorSession returns credentials of a visitor of the site with r.SiteKey:
// the one r.RefreshToken names, or a new one. It keeps r.Device if the refresh
// token is of that device, and mints one otherwise. Nothing is written: calling
// it again is safe.
//
// It fails with CodeNotFound for an unknown site, CodeForbidden for a web origin
// that the site does not list, CodeInvalid for a name that cannot be shown, and
// CodeRateLimited, with its RetryAfter, when its address makes
// too many new visitors.
func (a *Access) VisitorSession(ctx context.Context, r parley.VisitorRequest) (parley.Credentials, error) {
	name, err := cleanName(r.Name)
	if err != nil {
		return parley.Credentials{}, err
	}
	site, err := a.site(ctx, r.SiteKey, a.store.SiteByKey)
	if err != nil {
		return parley.Credentials{}, err
	}
	if !allowsOrigin(site, r.Origin) {
		return parley.Credentials{}, parley.Errorf(parley.CodeForbidden, "this web origin is not among those of the site")
	}
	who := parley.Identity{Site: site.ID, Role: parley.RoleVisitor, Name: name}
	if c := a.earlier(r.RefreshToken, site.ID); c != nil && c.Role == parley.RoleVisitor {
		who.User, who.Device = c.Subject, vouchedDevice(c, r.Device)
		if name == "" {
			who.Name = c.Name
		}
	}
	if who.User == "" {
		if err := a.newcomers.take(r.RemoteIP); err != nil {
			a.counts.limited.Add(1)
			return parley.Credentials{}, err
		}
		who.User = parley.NewID(parley.PrefixVisitor)
	}
	return a.credentials(who, "")
}

// AgentSession signs an agent in by e-mail address and password. It keeps
// r.Device if r.RefreshToken is of that device and of the same agent, and mints
// one otherwise.
//
// An unknown site or address and a wrong password are the same
// CodeUnauthenticated, at the same cost. After 10 failures for one account or 50
// from one address within 15 minutes it answers CodeRateLimited, also to the
// right password, with its RetryAfter.
func (a *Access) AgentSession(ctx context.Context, r parley.AgentRequest) (parley.Credentials, error) {
	r.Email = cleanEmail(r.Email)
	if !parley.ValidID(r.Site) || len(r.Email) > maxEmailBytes || len(r.Password) > MaxPasswordBytes {
		return parley.Credentials{}, errWrongPassword() // no account has these; do not spend a hash or memory on them
	}
	account, err := a.findAccount(ctx, r.Site, r.Email)
	if err != nil {
		return parley.Credentials{}, err
	}
	if err := a.checkPassword(ctx, account, r); err != nil {
		return parley.Credentials{}, err
	}
	who := identityOf(account)
	if c := a.earlier(r.RefreshToken, account.Site); c != nil && c.Subject == account.ID {
		who.Device = vouchedDevice(c, r.Device)
	}
	a.counts.signIns.Add(1)
	return a.credentials(who, fingerprint(account.PasswordHash))
}

// Refresh returns new credentials of the device that a refresh token names, with
// the agent's role and name as they are now. A token whose account is gone, or
// has a new password, fails with CodeUnauthenticated. The old refresh token
// stays valid until it expires, so that a lost answer locks nobody out.
func (a *Access) Refresh(ctx context.Context, refreshToken string) (parley.Credentials, error) {
	c, err := a.parse(refreshToken, audienceRefresh)
	if err != nil {
		return parley.Credentials{}, err
	}
	if _, err := a.store.Site(ctx, c.Site); err != nil {
		return parley.Credentials{}, orUnauthenticated(err)
	}
	who := c.identity()
	if !c.Role.Staff() {
		return a.credentials(who, "")
	}
	account, err := a.store.Account(ctx, c.Site, c.Subject)
	if err != nil {
		return parley.Credentials{}, orUnauthenticated(err)
	}
	credential := fingerprint(account.PasswordHash)
	if c.Credential != credential {
		return parley.Credentials{}, errNotAToken()
	}
	who = identityOf(account)
	who.Device = c.Device
	return a.credentials(who, credential)
}

// credentials signs both tokens of who, minting a device if it has none.
func (a *Access) credentials(who parley.Identity, credential string) (parley.Credentials, error) {
	if who.Device == "" {
		who.Device = parley.NewID(parley.PrefixDevice)
	}
	notBefore := a.revoked.of(who.Site, who.User, who.Device)
	token, expires, err := a.tokens.sign(who, audienceAccess, a.options.TokenLife, "", notBefore)
	if err != nil {
		return parley.Credentials{}, err
	}
	life := a.options.VisitorLife
	if who.Role != parley.RoleVisitor {
		life = a.options.AgentLife
	}
	refresh, _, err := a.tokens.sign(who, audienceRefresh, life, credential, notBefore)
	if err != nil {
		return parley.Credentials{}, err
	}
	who.Expires = expires
	return parley.Credentials{Identity: who, Token: token, RefreshToken: refresh}, nil
}

// earlier returns the claims of a valid refresh token of site, or nil.
func (a *Access) earlier(refreshToken, site string) *claims {
	c, err := a.parse(refreshToken, audienceRefresh)
	if err != nil || c.Site != site {
		return nil
	}
	return c
}

// vouchedDevice returns device if c is of it; a device id proves nothing by
// itself. Asking without one is how a second device of the same user is made.
func vouchedDevice(c *claims, device string) string {
	if c.Device != device {
		return ""
	}
	return device
}

func (a *Access) checkPassword(ctx context.Context, account parley.Account, r parley.AgentRequest) error {
	site := account.Site // one count, whether the site was given by id or by key
	if site == "" {
		site = r.Site
	}
	at := newAttempt(site, r.Email, r.RemoteIP)
	if err := a.failures.take(at); err != nil {
		a.counts.limited.Add(1)
		return err
	}
	ok, err := a.passwords.match(ctx, account.PasswordHash, r.Password)
	if err != nil {
		a.failures.giveBack(at)
		return err
	}
	if !ok {
		a.counts.failures.Add(1)
		return errWrongPassword()
	}
	a.failures.succeeded(at)
	return nil
}

// findAccount returns the zero account, without an error, if there is none.
func (a *Access) findAccount(ctx context.Context, siteOrKey, email string) (parley.Account, error) {
	site, err := a.site(ctx, siteOrKey, a.store.SiteByKey)
	if notFound(err) {
		site, err = a.site(ctx, siteOrKey, a.store.Site)
	}
	if notFound(err) {
		return parley.Account{}, nil
	}
	if err != nil {
		return parley.Account{}, err
	}
	account, err := a.store.AccountByEmail(ctx, site.ID, email)
	if notFound(err) {
		return parley.Account{}, nil
	}
	if err != nil {
		return parley.Account{}, fmt.Errorf("find account: %w", err)
	}
	return account, nil
}

func (a *Access) site(ctx context.Context, name string, find func(context.Context, string) (parley.Site, error)) (parley.Site, error) {
	if !parley.ValidID(name) {
		return parley.Site{}, parley.Errorf(parley.CodeNotFound, "no such site")
	}
	site, err := find(ctx, name)
	if err != nil {
		return parley.Site{}, fmt.Errorf("find site: %w", err)
	}
	return site, nil
}

func identityOf(account parley.Account) parley.Identity {
	return parley.Identity{Site: account.Site, User: account.ID, Role: account.Role, Name: account.Name}
}

func allowsOrigin(site parley.Site, origin string) bool {
	return origin == "" || slices.Contains(site.Origins, "*") || slices.Contains(site.Origins, origin)
}

func errWrongPassword() error {
	return parley.Errorf(parley.CodeUnauthenticated, "the e-mail address or the password is wrong")
}

func cleanEmail(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func notFound(err error) bool {
	var e *parley.Error
	return errors.As(err, &e) && e.Code == parley.CodeNotFound
}

// orUnauthenticated turns "it is gone" into "sign in again".
func orUnauthenticated(err error) error {
	if notFound(err) {
		return errNotAToken()
	}
	return err
}

// Vouch returns a token of somebody who has shown no password: for an operator's
// tool in the process of the server. It is good for ten minutes.
func (a *Access) Vouch(who parley.Identity) (token string, err error) {
	token, _, err = a.tokens.sign(who, audienceAccess, 10*time.Minute, "", a.revoked.of(who.Site, who.User, who.Device))
	return token, err
}
