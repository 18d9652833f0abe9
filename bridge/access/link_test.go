package access_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/access"
)

func TestLinks(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	visitor := f.visitor(t)
	link, expires, err := f.access.Link(ctx, visitor.Token, "att_1")
	if err != nil {
		t.Fatal(err)
	}
	if left := expires.Sub(f.clock.now()); left <= 0 || left > access.LinkLife || access.LinkLife > 5*time.Minute {
		t.Errorf("the link is good for %s", left)
	}
	who, err := f.access.VerifyLink(ctx, link, "att_1")
	if err != nil || who.User != visitor.Identity.User || who.Site != visitor.Identity.Site || who.Role != parley.RoleVisitor || who.Device != visitor.Identity.Device {
		t.Fatalf("%+v, %v", who, err)
	}
	body, sum, _ := strings.Cut(link, ".")
	changed := func(from, to string) string {
		plain, err := base64.RawURLEncoding.DecodeString(body)
		if err != nil || !strings.Contains(string(plain), from) {
			t.Fatal(string(plain), err)
		}
		return base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(plain), from, to, 1))) + "." + sum
	}
	for what, bad := range map[string]string{
		"nothing": "", "no sum": body + ".", "no body": "." + sum, "another file": changed("att_1", "att_2"), "another role": changed("visitor", "owner"),
		"a cut sum": body + "." + sum[:20], "an access token": visitor.Token, "very long": strings.Repeat("x", 10_000), "something behind": link + "A",
	} {
		_, err := f.access.VerifyLink(ctx, bad, "att_1")
		if err == nil {
			t.Errorf("%s is a link", what)
		}
		expectCode(t, err, parley.CodeUnauthenticated)
	}
	_, err = f.access.VerifyLink(ctx, link, "att_2")
	expectCode(t, err, parley.CodeUnauthenticated)
	_, err = f.access.Verify(ctx, link)
	expectCode(t, err, parley.CodeUnauthenticated)
	_, _, err = f.access.Link(ctx, visitor.RefreshToken, "att_1")
	expectCode(t, err, parley.CodeUnauthenticated)

	f.clock.advance(access.LinkLife)
	_, err = f.access.VerifyLink(ctx, link, "att_1")
	expectCode(t, err, parley.CodeUnauthenticated)
	f.clock.advance(-time.Hour) // put back: it does not last longer
	_, err = f.access.VerifyLink(ctx, link, "att_1")
	expectCode(t, err, parley.CodeUnauthenticated)
}

func TestLinksEndWithTheirToken(t *testing.T) {
	f := setup(t)
	visitor := f.visitor(t)
	link, _, err := f.access.Link(t.Context(), visitor.Token, "att_1")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.access.SignOut(t.Context(), visitor.Identity); err != nil {
		t.Fatal(err)
	}
	_, err = f.access.VerifyLink(t.Context(), link, "att_1")
	expectCode(t, err, parley.CodeUnauthenticated)

	visitor = f.visitor(t)
	f.clock.advance(time.Hour - time.Minute)
	link, expires, err := f.access.Link(t.Context(), visitor.Token, "att_1")
	if err != nil || expires.Sub(f.clock.now()) > time.Minute {
		t.Fatalf("until %s, %v", expires, err)
	}
	f.clock.advance(time.Minute)
	_, err = f.access.VerifyLink(t.Context(), link, "att_1")
	expectCode(t, err, parley.CodeUnauthenticated)
}
