package access_test

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/access"
)

// object is the JSON of a token's header or claims.
type object map[string]any

// with returns o with pairs of name and value; a nil value removes the name.
func (o object) with(pairs ...any) object {
	o = maps.Clone(o)
	for i := 0; i < len(pairs); i += 2 {
		if o[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(o, pairs[i].(string))
		}
	}
	return o
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// forge signs whatever it is given.
func forge(key ed25519.PrivateKey, header, claims object) string {
	text := encode(header) + "." + encode(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(text)))
}

func forgeHS256(secret []byte, header, claims object) string {
	text := encode(header) + "." + encode(claims)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// smith has the server's key and the parts of a good token.
type smith struct {
	key    ed25519.PrivateKey
	now    time.Time
	header object
	claims object
}

func newSmith(t *testing.T, f *fixture) smith {
	t.Helper()
	seed, err := f.store.Secret(t.Context(), "token-signing-key", ed25519.SeedSize)
	if err != nil {
		t.Fatal(err)
	}
	now := f.clock.now()
	return smith{
		key:    ed25519.NewKeyFromSeed(seed),
		now:    now,
		header: object{"alg": "EdDSA", "typ": "JWT"},
		claims: object{
			"iss": "parley", "aud": "parley", "sub": "vis_1", "site": "ste_1", "dev": "dev_1", "role": "visitor",
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		},
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	f := setup(t)
	s := newSmith(t, f)
	if _, err := f.access.Verify(t.Context(), forge(s.key, s.header, s.claims)); err != nil {
		t.Fatalf("the token that the forgeries are made from is refused: %v", err)
	}
	visitor := f.visitor(t)
	_, foreign, _ := ed25519.GenerateKey(rand.Reader)
	public := s.key.Public().(ed25519.PublicKey)
	good := forge(s.key, s.header, s.claims)
	parts := strings.Split(good, ".")
	unix := func(d time.Duration) int64 { return s.now.Add(d).Unix() }
	claims := func(pairs ...any) string { return forge(s.key, s.header, s.claims.with(pairs...)) }

	for name, token := range map[string]string{
		"empty":                     "",
		"a word":                    "token",
		"two parts":                 parts[0] + "." + parts[1],
		"four parts":                good + ".x",
		"many dots":                 strings.Repeat(".", 8000),
		"huge":                      claims("name", strings.Repeat("x", 9000)),
		"huge before the dot":       strings.Repeat("A", 1<<20) + "." + parts[1] + "." + parts[2],
		"alg none":                  encode(s.header.with("alg", "none")) + "." + parts[1] + ".",
		"alg none, signed":          forge(s.key, s.header.with("alg", "none"), s.claims),
		"alg None":                  encode(s.header.with("alg", "None")) + "." + parts[1] + ".",
		"alg missing":               forge(s.key, s.header.with("alg", nil), s.claims),
		"alg a number":              forge(s.key, s.header.with("alg", 1), s.claims),
		"HS256 with the public key": forgeHS256(public, s.header.with("alg", "HS256"), s.claims),
		"HS256 said, EdDSA signed":  forge(s.key, s.header.with("alg", "HS256"), s.claims),
		"RS256 said, EdDSA signed":  forge(s.key, s.header.with("alg", "RS256"), s.claims),
		"another key":               forge(foreign, s.header, s.claims),
		"another key by kid":        forge(foreign, s.header.with("kid", "../../dev/null"), s.claims),
		"another key by jwk": forge(foreign, s.header.with("jwk", object{"kty": "OKP", "crv": "Ed25519",
			"x": base64.RawURLEncoding.EncodeToString(foreign.Public().(ed25519.PublicKey))}), s.claims),
		"another key by jku":        forge(foreign, s.header.with("jku", "https://example.org/keys"), s.claims),
		"another key by x5u":        forge(foreign, s.header.with("x5u", "https://example.org/cert"), s.claims),
		"no signature":              parts[0] + "." + parts[1] + ".",
		"signature cut":             good[:len(good)-4],
		"signature of other claims": parts[0] + "." + encode(s.claims.with("role", "owner")) + "." + parts[2],
		"padded base64":             good + "=",
		"space around":              " " + good + " ",
		"claims are not JSON":       signText(s.key, parts[0]+"."+base64.RawURLEncoding.EncodeToString([]byte("{"))),
		"audience of another":       claims("aud", "other"),
		"audience missing":          claims("aud", nil),
		"two audiences":             claims("aud", []string{"parley", "parley-refresh"}),
		"issuer of another":         claims("iss", "other"),
		"issuer missing":            claims("iss", nil),
		"no expiry":                 claims("exp", nil),
		"expired this second":       claims("exp", unix(0)),
		"expired within the leeway": claims("exp", unix(-10*time.Second)),
		"expired long ago":          claims("exp", unix(-24*time.Hour)),
		"expiry is text":            claims("exp", "never"),
		"not yet valid":             claims("nbf", unix(25*time.Hour)),
		"issued in the future":      claims("iat", unix(25*time.Hour)),
		"refresh used as access":    visitor.RefreshToken,
		"no site":                   claims("site", nil),
		"site with a slash":         claims("site", "ste/1"),
		"site is a list":            claims("site", []string{"ste_1"}),
		"user with a dot":           claims("sub", "vis.1"),
		"user is a wildcard":        claims("sub", "+"),
		"no user":                   claims("sub", nil),
		"device with a NUL":         claims("dev", "dev\x00"),
		"no device":                 claims("dev", nil),
		"device too long":           claims("dev", strings.Repeat("d", parley.MaxIDLength+1)),
		"unknown role":              claims("role", "god"),
		"the server's role":         claims("role", "system"),
		"no role":                   claims("role", nil),
	} {
		t.Run(name, func(t *testing.T) {
			who, err := f.access.Verify(t.Context(), token)
			expectCode(t, err, parley.CodeUnauthenticated)
			if who != (parley.Identity{}) {
				t.Errorf("a refused token yields the identity %+v", who)
			}
		})
	}
}

func signText(key ed25519.PrivateKey, text string) string {
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(text)))
}

func TestForgedRefreshTokensAreRefused(t *testing.T) {
	f := setup(t)
	s := newSmith(t, f)
	_, foreign, _ := ed25519.GenerateKey(rand.Reader)
	refresh := s.claims.with("aud", "parley-refresh", "site", f.site.ID)
	if _, err := f.access.Refresh(t.Context(), forge(s.key, s.header, refresh)); err != nil {
		t.Fatalf("the token that the forgeries are made from is refused: %v", err)
	}
	for name, token := range map[string]string{
		"access used as refresh":       f.visitor(t).Token,
		"another key":                  forge(foreign, s.header, refresh),
		"expired":                      forge(s.key, s.header, refresh.with("exp", s.now.Unix())),
		"a site that is gone":          forge(s.key, s.header, refresh.with("site", "ste_gone")),
		"an account that is gone":      forge(s.key, s.header, refresh.with("role", "agent")),
		"an agent without credential":  forge(s.key, s.header, refresh.with("role", "owner", "sub", f.account.ID)),
		"the agent of another site":    forge(s.key, s.header, refresh.with("role", "owner", "sub", f.account.ID, "site", f.other.ID)),
		"a role that is not for users": forge(s.key, s.header, refresh.with("role", "system")),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.access.Refresh(t.Context(), token)
			expectCode(t, err, parley.CodeUnauthenticated)
		})
	}
}

func TestTokenEndsOnTime(t *testing.T) {
	f := setup(t)
	c := f.visitor(t)
	f.clock.advance(time.Hour - time.Second)
	who, err := f.access.Verify(t.Context(), c.Token)
	if err != nil {
		t.Fatalf("a second before its end: %v", err)
	}
	if !who.Expires.Equal(c.Identity.Expires) {
		t.Errorf("the token says it ends %v, the sign-in said %v", who.Expires, c.Identity.Expires)
	}
	f.clock.advance(time.Second)
	_, err = f.access.Verify(t.Context(), c.Token)
	expectCode(t, err, parley.CodeUnauthenticated)
}

func TestAnotherNodeOnTheSameStoreAcceptsTheToken(t *testing.T) {
	f := setup(t)
	c := f.visitor(t)
	node, err := access.New(t.Context(), f.store, access.Options{Now: f.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := node.Verify(t.Context(), c.Token); err != nil {
		t.Error(err)
	}
}

func FuzzVerify(f *testing.F) {
	a, err := access.New(context.Background(), openStore(f), access.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("")
	f.Add("a.b.c")
	f.Add(encode(object{"alg": "none"}) + "." + encode(object{"aud": "parley"}) + ".")
	f.Fuzz(func(t *testing.T, token string) {
		if who, err := a.Verify(t.Context(), token); err == nil {
			t.Errorf("accepted as %+v", who)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	a, err := access.New(b.Context(), openStore(b), access.Options{})
	if err != nil {
		b.Fatal(err)
	}
	site, _, err := a.Provision(b.Context(), parley.Site{Key: "key"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	c, err := a.VisitorSession(b.Context(), parley.VisitorRequest{SiteKey: site.Key})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := a.Verify(b.Context(), c.Token); err != nil {
			b.Fatal(err)
		}
	}
}
