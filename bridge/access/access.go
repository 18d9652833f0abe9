// Package access issues and checks the tokens that say who a device is, and
// signs people in.
package access

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley"
)

// Store is what access needs kept. Every look-up answers *parley.Error with
// CodeNotFound when there is no such thing; any other error is temporary.
type Store interface {
	Secrets
	Sites
	Accounts
	Revocations
}

// Secrets keeps random bytes: the same name always yields the same n bytes.
type Secrets interface {
	Secret(ctx context.Context, name string, n int) ([]byte, error)
}

// Sites keeps sites. PutSite inserts or replaces by id.
type Sites interface {
	PutSite(ctx context.Context, site parley.Site) error
	Site(ctx context.Context, id string) (parley.Site, error)
	SiteByKey(ctx context.Context, key string) (parley.Site, error)
}

// Accounts keeps accounts. PutAccount inserts or replaces by (site, id).
type Accounts interface {
	PutAccount(ctx context.Context, account parley.Account) error
	Account(ctx context.Context, site, id string) (parley.Account, error)
	AccountByEmail(ctx context.Context, site, email string) (parley.Account, error)
}

// Options are the settings that have sensible defaults: zero means the default.
type Options struct {
	Now         func() time.Time // the clock, time.Now
	TokenLife   time.Duration    // of access tokens, 1 hour
	VisitorLife time.Duration    // of visitors' refresh tokens, 365 days
	AgentLife   time.Duration    // of agents' refresh tokens, 30 days
	NewVisitors int              // that one address may make at once, the constant of that name; negative: no limit

	// Revoked is called when tokens have become void, before SignOut returns, by the
	// goroutine that called it. nil calls nobody.
	Revoked func(parley.Revocation)
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.TokenLife == 0 {
		o.TokenLife = time.Hour
	}
	if o.VisitorLife == 0 {
		o.VisitorLife = 365 * 24 * time.Hour
	}
	if o.AgentLife == 0 {
		o.AgentLife = 30 * 24 * time.Hour
	}
	if o.NewVisitors == 0 {
		o.NewVisitors = NewVisitors
	}
	return o
}

// Access signs people in and checks tokens. All methods are safe for concurrent
// use.
type Access struct {
	store     Store
	options   Options
	tokens    *tokens
	linkKey   []byte
	passwords *passwords
	failures  *failureLimiter
	newcomers newcomers
	revoked   *revoked
	counts    counts
}

type counts struct {
	signIns, failures, limited atomic.Int64
}

// signingKey names the store's secret that tokens are signed with.
const signingKey = "token-signing-key"

// New returns an Access on store, whose signing key it makes at the first call.
// Every node on the same store accepts the tokens of the others.
func New(ctx context.Context, store Store, options Options) (*Access, error) {
	options = options.withDefaults()
	seed, err := store.Secret(ctx, signingKey, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("read the token signing key: %w", err)
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("the token signing key has %d bytes, want %d", len(seed), ed25519.SeedSize)
	}
	links, err := store.Secret(ctx, linkKey, 32)
	if err != nil {
		return nil, fmt.Errorf("read the link signing key: %w", err)
	}
	revocations, err := store.Revocations(ctx)
	if err != nil {
		return nil, fmt.Errorf("read revocations: %w", err)
	}
	return &Access{
		store:     store,
		newcomers: newNewcomers(options.Now, options.NewVisitors),
		revoked:   newRevoked(revocations),
		options:   options,
		tokens:    newTokens(ed25519.NewKeyFromSeed(seed), options.Now),
		linkKey:   links,
		passwords: newPasswords(),
		failures:  newFailureLimiter(options.Now),
	}, nil
}

// Verify returns who holds an access token. It does no input or output and
// takes well under a millisecond. Everything that is not a valid, unexpired
// access token of ours fails with CodeUnauthenticated.
func (a *Access) Verify(_ context.Context, token string) (parley.Identity, error) {
	c, err := a.parse(token, audienceAccess)
	if err != nil {
		return parley.Identity{}, err
	}
	return c.identity(), nil
}

// parse returns the claims of a valid token that was not revoked.
func (a *Access) parse(token, audience string) (*claims, error) {
	c, err := a.tokens.parse(token, audience)
	if err != nil {
		return nil, err
	}
	if c.issued() < a.revoked.of(c.Site, c.Subject, c.Device) {
		return nil, parley.Errorf(parley.CodeUnauthenticated, "this device was signed out; sign in again")
	}
	return c, nil
}

// Stats counts what happened since the start.
type Stats struct {
	SignIns        int64 // agents signed in by password
	SignInFailures int64 // wrong e-mail address or password
	SignInsLimited int64 // refused because of too many failures
	PasswordHashes int64 // argon2id computations, the expensive part
}

// Stats returns the present counts.
func (a *Access) Stats() Stats {
	return Stats{
		SignIns:        a.counts.signIns.Load(),
		SignInFailures: a.counts.failures.Load(),
		SignInsLimited: a.counts.limited.Load(),
		PasswordHashes: a.passwords.computed.Load(),
	}
}
