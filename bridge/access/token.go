package access

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/parley-chat/parley"
)

const (
	issuer          = "parley"
	audienceAccess  = "parley"
	audienceRefresh = "parley-refresh"

	// maxTokenBytes bounds what is parsed for a stranger.
	maxTokenBytes = 8 << 10
	// maxAhead is how far a token may have been issued in the future: by another
	// node, or by this one before its clock was put back. Whom that shut out would
	// have lost, with the refresh token, who they are. An expired token is expired:
	// its holder has had an hour to renew it.
	maxAhead = 24 * time.Hour
)

// claims are what our tokens say.
type claims struct {
	jwt.RegisteredClaims
	Site   string      `json:"site"`
	Device string      `json:"dev"`
	Role   parley.Role `json:"role"`
	Name   string      `json:"name,omitempty"`
	// Credential fingerprints the password that an agent's refresh token was
	// given for, so that a new password ends it.
	Credential string `json:"cred,omitempty"`
	// Issued is iat in Unix milliseconds, so that who signs in again right after a
	// revocation is in.
	Issued int64 `json:"ims,omitempty"`
}

// issued returns when the token was made, in Unix milliseconds.
func (c *claims) issued() int64 {
	if c.Issued == 0 && c.IssuedAt != nil {
		return c.IssuedAt.UnixMilli() // from before there was more
	}
	return c.Issued
}

func (c *claims) identity() parley.Identity {
	return parley.Identity{
		Site: c.Site, User: c.Subject, Device: c.Device, Role: c.Role, Name: c.Name,
		Expires: c.ExpiresAt.Time,
	}
}

// tokens signs and parses with one key. No header of a token has a say in which
// key or algorithm checks it.
type tokens struct {
	key     ed25519.PrivateKey
	public  ed25519.PublicKey
	now     func() time.Time
	parsers map[string]*jwt.Parser // by audience
}

func newTokens(key ed25519.PrivateKey, now func() time.Time) *tokens {
	t := &tokens{key: key, public: key.Public().(ed25519.PublicKey), now: now, parsers: make(map[string]*jwt.Parser)}
	for _, audience := range []string{audienceAccess, audienceRefresh} {
		t.parsers[audience] = jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
			jwt.WithIssuer(issuer),
			jwt.WithAudience(audience),
			jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(),
			jwt.WithLeeway(maxAhead),
			jwt.WithStrictDecoding(),
			jwt.WithTimeFunc(now),
		)
	}
	return t
}

// sign returns a token of who for audience, and its end. Tokens count in whole
// seconds. It counts as issued at notBefore at the earliest, in Unix milliseconds:
// a clock that was set back must not make it one that was revoked.
func (t *tokens) sign(who parley.Identity, audience string, life time.Duration, credential string, notBefore int64) (string, time.Time, error) {
	exactly := t.now()
	now := exactly.Truncate(time.Second)
	expires := now.Add(life)
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: who.User,
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
		},
		Site: who.Site, Device: who.Device, Role: who.Role, Name: who.Name, Credential: credential,
		Issued: max(exactly.UnixMilli(), notBefore),
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c).SignedString(t.key)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign token: %w", err)
	}
	return signed, expires, nil
}

// parse returns the claims of a valid token for audience, or an *parley.Error
// with CodeUnauthenticated that does not say which check failed.
func (t *tokens) parse(token, audience string) (*claims, error) {
	if len(token) > maxTokenBytes {
		return nil, errNotAToken()
	}
	var c claims
	_, err := t.parsers[audience].ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return t.public, nil })
	if err != nil || !c.wellFormed() {
		return nil, errNotAToken()
	}
	if !t.now().Before(c.ExpiresAt.Time) {
		return nil, parley.Errorf(parley.CodeUnauthenticated, "the token has expired; renew it")
	}
	return &c, nil
}

// wellFormed holds even for tokens with our signature: what they name ends up
// in topics and client identifiers.
func (c *claims) wellFormed() bool {
	return len(c.Audience) == 1 && knownRole(c.Role) &&
		parley.ValidID(c.Site) && parley.ValidID(c.Subject) && parley.ValidID(c.Device)
}

// knownRole reports whether a client may hold the role; RoleSystem is the
// server itself.
func knownRole(r parley.Role) bool {
	return slices.Contains([]parley.Role{
		parley.RoleVisitor, parley.RoleBot, parley.RoleAgent,
		parley.RoleSupervisor, parley.RoleAdmin, parley.RoleOwner,
	}, r)
}

func errNotAToken() error {
	return parley.Errorf(parley.CodeUnauthenticated, "the token is not valid; sign in again")
}
