package access

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/parley-chat/parley"
)

// LinkLife is how long a link is good.
const LinkLife = 5 * time.Minute

// linkKey names the store's secret that links are signed with.
const linkKey = "link-signing-key"

// linkClaims are what a link says.
type linkClaims struct {
	File    string      `json:"f"`
	Site    string      `json:"s"`
	User    string      `json:"u"`
	Device  string      `json:"d"`
	Role    parley.Role `json:"r"`
	Issued  int64       `json:"i"` // the token, in Unix milliseconds
	Expires int64       `json:"e"`
}

// Link returns what opens one file as the holder of an access token, for LinkLife at
// most, and until when. It gives no other right, and none that its holder does not have
// when it is used: whoever serves the file asks for that. It ends when the token does,
// also by signing out.
func (a *Access) Link(_ context.Context, token, file string) (link string, expires time.Time, err error) {
	who, err := a.parse(token, audienceAccess)
	if err != nil {
		return "", time.Time{}, err
	}
	expires = a.options.Now().Add(LinkLife).Truncate(time.Second)
	if end := who.ExpiresAt.Time; end.Before(expires) {
		expires = end
	}
	body, err := json.Marshal(linkClaims{
		File: file, Site: who.Site, User: who.Subject, Device: who.Device, Role: who.Role, Issued: who.issued(), Expires: expires.UnixMilli(),
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("encode link: %w", err)
	}
	signed := base64.RawURLEncoding.EncodeToString(body)
	return signed + "." + base64.RawURLEncoding.EncodeToString(a.linkSum(signed)), expires, nil
}

func (a *Access) linkSum(signed string) []byte {
	h := hmac.New(sha256.New, a.linkKey)
	h.Write([]byte(signed))
	return h.Sum(nil)
}

// VerifyLink returns who a link to that file was made for. Everything that is not a
// valid link of ours fails with CodeUnauthenticated.
func (a *Access) VerifyLink(_ context.Context, link, file string) (parley.Identity, error) {
	invalid := parley.Errorf(parley.CodeUnauthenticated, "the link is not valid any more; ask for a new one")
	if len(link) > maxTokenBytes {
		return parley.Identity{}, invalid
	}
	signed, sum, _ := strings.Cut(link, ".")
	given, err := base64.RawURLEncoding.Strict().DecodeString(sum)
	if err != nil || !hmac.Equal(given, a.linkSum(signed)) {
		return parley.Identity{}, invalid
	}
	var c linkClaims
	body, err := base64.RawURLEncoding.DecodeString(signed)
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err != nil {
		return parley.Identity{}, fmt.Errorf("%w: %w", invalid, err)
	}
	now := a.options.Now().UnixMilli()
	// A clock that was put back must not make a link last longer.
	if c.File != file || now >= c.Expires || c.Expires > now+LinkLife.Milliseconds() || c.Issued < a.revoked.of(c.Site, c.User, c.Device) {
		return parley.Identity{}, invalid
	}
	return parley.Identity{Site: c.Site, User: c.User, Device: c.Device, Role: c.Role, Expires: time.UnixMilli(c.Expires)}, nil
}
