package access_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/access"
)

func TestVisitorSession(t *testing.T) {
	f := setup(t)
	first := f.visitor(t)
	who, err := f.access.Verify(t.Context(), first.Token)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.Identity, who); diff != "" {
		t.Errorf("the token says something else than the answer:\n%s", diff)
	}
	if !strings.HasPrefix(who.User, parley.PrefixVisitor) || !strings.HasPrefix(who.Device, parley.PrefixDevice) ||
		who.Role != parley.RoleVisitor || who.Site != f.site.ID || who.Name != "Han Meimei" {
		t.Errorf("identity %+v", who)
	}

	for name, c := range map[string]struct {
		request              parley.VisitorRequest
		sameUser, sameDevice bool
		name                 string
	}{
		"nothing brought":                 {request: parley.VisitorRequest{SiteKey: f.site.Key}},
		"only a device":                   {request: parley.VisitorRequest{SiteKey: f.site.Key, Device: who.Device}},
		"refresh token and device":        {request: parley.VisitorRequest{SiteKey: f.site.Key, RefreshToken: first.RefreshToken, Device: who.Device}, sameUser: true, sameDevice: true, name: "Han Meimei"},
		"refresh token only":              {request: parley.VisitorRequest{SiteKey: f.site.Key, RefreshToken: first.RefreshToken}, sameUser: true, name: "Han Meimei"},
		"refresh token, another's device": {request: parley.VisitorRequest{SiteKey: f.site.Key, RefreshToken: first.RefreshToken, Device: "dev_other"}, sameUser: true, name: "Han Meimei"},
		"a new name":                      {request: parley.VisitorRequest{SiteKey: f.site.Key, RefreshToken: first.RefreshToken, Name: "韩梅梅"}, sameUser: true, name: "韩梅梅"},
		"access token as refresh token":   {request: parley.VisitorRequest{SiteKey: f.site.Key, RefreshToken: first.Token, Device: who.Device}},
		"an agent's refresh token":        {request: parley.VisitorRequest{SiteKey: f.site.Key, RefreshToken: f.agent(t, f.agentRequest()).RefreshToken}},
		"refresh token of another site":   {request: parley.VisitorRequest{SiteKey: f.other.Key, RefreshToken: first.RefreshToken, Device: who.Device}},
		"a broken refresh token":          {request: parley.VisitorRequest{SiteKey: f.site.Key, RefreshToken: "x.y.z", Device: who.Device}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := f.access.VisitorSession(t.Context(), c.request)
			if err != nil {
				t.Fatal(err)
			}
			if (got.Identity.User == who.User) != c.sameUser || (got.Identity.Device == who.Device) != c.sameDevice {
				t.Errorf("user %s device %s after user %s device %s", got.Identity.User, got.Identity.Device, who.User, who.Device)
			}
			if got.Identity.Name != c.name || got.Identity.Role != parley.RoleVisitor {
				t.Errorf("identity %+v, want name %q", got.Identity, c.name)
			}
		})
	}
}

func TestVisitorSessionRefusals(t *testing.T) {
	f := setup(t)
	for name, c := range map[string]struct {
		request parley.VisitorRequest
		want    parley.Code
	}{
		"no site key":          {parley.VisitorRequest{}, parley.CodeNotFound},
		"unknown site key":     {parley.VisitorRequest{SiteKey: "key_9"}, parley.CodeNotFound},
		"site id for its key":  {parley.VisitorRequest{SiteKey: f.site.ID}, parley.CodeNotFound},
		"malformed site key":   {parley.VisitorRequest{SiteKey: "key 1"}, parley.CodeNotFound},
		"a foreign web page":   {parley.VisitorRequest{SiteKey: f.site.Key, Origin: "https://evil.example"}, parley.CodeForbidden},
		"a page from nowhere":  {parley.VisitorRequest{SiteKey: f.site.Key, Origin: "null"}, parley.CodeForbidden},
		"name of 81":           {parley.VisitorRequest{SiteKey: f.site.Key, Name: strings.Repeat("名", 81)}, parley.CodeInvalid},
		"name not UTF-8":       {parley.VisitorRequest{SiteKey: f.site.Key, Name: "\xff"}, parley.CodeInvalid},
		"name of two lines":    {parley.VisitorRequest{SiteKey: f.site.Key, Name: "a\nb"}, parley.CodeInvalid},
		"name that turns text": {parley.VisitorRequest{SiteKey: f.site.Key, Name: "a\u202eb"}, parley.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.access.VisitorSession(t.Context(), c.request)
			expectCode(t, err, c.want)
		})
	}
	for name, r := range map[string]parley.VisitorRequest{
		"a listed page":        {SiteKey: f.site.Key, Origin: "https://one.example"},
		"any page where * is":  {SiteKey: f.other.Key, Origin: "https://evil.example"},
		"a name of 80, padded": {SiteKey: f.site.Key, Name: "  " + strings.Repeat("名", 80) + "\n"},
	} {
		if _, err := f.access.VisitorSession(t.Context(), r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAgentSession(t *testing.T) {
	f := setup(t)
	first := f.agent(t, f.agentRequest())
	who, err := f.access.Verify(t.Context(), first.Token)
	if err != nil {
		t.Fatal(err)
	}
	want := parley.Identity{Site: f.site.ID, User: f.account.ID, Device: who.Device, Role: parley.RoleOwner, Name: "李雷", Expires: who.Expires}
	if diff := cmp.Diff(want, who); diff != "" {
		t.Error(diff)
	}

	again := f.agentRequest()
	again.Site, again.Email = f.site.Key, " LILEI@example.ORG "
	if got := f.agent(t, again).Identity; got.User != who.User || got.Device == who.Device {
		t.Errorf("signing in elsewhere gives user %s device %s", got.User, got.Device)
	}
	again.RefreshToken, again.Device = first.RefreshToken, who.Device
	if got := f.agent(t, again).Identity.Device; got != who.Device {
		t.Errorf("signing in again on a device gives device %s, want %s", got, who.Device)
	}
	again.RefreshToken = f.visitor(t).RefreshToken
	if got := f.agent(t, again).Identity.Device; got == who.Device {
		t.Error("a visitor's refresh token vouched for an agent's device")
	}
}

func TestUnknownAccountCostsAHash(t *testing.T) {
	f := setup(t)
	for name, change := range map[string]func(*parley.AgentRequest){
		"wrong password":          func(r *parley.AgentRequest) { r.Password = "wrong password" },
		"empty password":          func(r *parley.AgentRequest) { r.Password = "" },
		"unknown e-mail address":  func(r *parley.AgentRequest) { r.Email = "nobody@example.org" },
		"empty e-mail address":    func(r *parley.AgentRequest) { r.Email = "" },
		"unknown site":            func(r *parley.AgentRequest) { r.Site = "ste_unknown" },
		"e-mail with a wildcard":  func(r *parley.AgentRequest) { r.Email = "%@example.org" },
		"the hash as a password":  func(r *parley.AgentRequest) { r.Password = f.account.PasswordHash },
		"password in other cases": func(r *parley.AgentRequest) { r.Password = strings.ToUpper(password) },
	} {
		t.Run(name, func(t *testing.T) {
			r := f.agentRequest()
			r.RemoteIP = ""
			change(&r)
			before := f.access.Stats().PasswordHashes
			_, err := f.access.AgentSession(t.Context(), r)
			expectCode(t, err, parley.CodeUnauthenticated)
			if err.Error() != "unauthenticated: the e-mail address or the password is wrong" {
				t.Errorf("the answer %q tells more than the others", err)
			}
			if n := f.access.Stats().PasswordHashes - before; n != 1 {
				t.Errorf("%d hashes were computed, want 1", n)
			}
		})
	}
}

func TestOversizedCredentialsAreNotHashed(t *testing.T) {
	f := setup(t)
	before := f.access.Stats().PasswordHashes
	for _, change := range []func(*parley.AgentRequest){
		func(r *parley.AgentRequest) { r.Password = strings.Repeat("p", access.MaxPasswordBytes+1) },
		func(r *parley.AgentRequest) { r.Email = strings.Repeat("e", 255) },
		func(r *parley.AgentRequest) { r.Site = "no site" },
	} {
		r := f.agentRequest()
		change(&r)
		_, err := f.access.AgentSession(t.Context(), r)
		expectCode(t, err, parley.CodeUnauthenticated)
	}
	if n := f.access.Stats().PasswordHashes - before; n != 0 {
		t.Errorf("%d hashes were computed, want none", n)
	}
}

func TestRefresh(t *testing.T) {
	f := setup(t)
	f.clock.advance(time.Minute)
	visitor := f.visitor(t)
	f.clock.advance(time.Hour)
	renewed, err := f.access.Refresh(t.Context(), visitor.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	want := visitor.Identity
	want.Expires = want.Expires.Add(time.Hour)
	if diff := cmp.Diff(want, renewed.Identity); diff != "" {
		t.Error(diff)
	}

	agent := f.agent(t, f.agentRequest())
	f.account.Role, f.account.Name = parley.RoleAgent, "Li Lei"
	if err := f.store.PutAccount(t.Context(), f.account); err != nil {
		t.Fatal(err)
	}
	if renewed, err = f.access.Refresh(t.Context(), agent.RefreshToken); err != nil {
		t.Fatal(err)
	}
	if got := renewed.Identity; got.Role != parley.RoleAgent || got.Name != "Li Lei" || got.Device != agent.Identity.Device {
		t.Errorf("renewed as %+v, want the account as it is now on the same device", got)
	}

	f.account.PasswordHash, err = f.access.HashPassword(t.Context(), "another password")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.PutAccount(t.Context(), f.account); err != nil {
		t.Fatal(err)
	}
	_, err = f.access.Refresh(t.Context(), agent.RefreshToken)
	expectCode(t, err, parley.CodeUnauthenticated)
}

func TestRefreshTokensEnd(t *testing.T) {
	f := setup(t)
	visitor, agent := f.visitor(t), f.agent(t, f.agentRequest())
	f.clock.advance(30 * 24 * time.Hour)
	_, err := f.access.Refresh(t.Context(), agent.RefreshToken)
	expectCode(t, err, parley.CodeUnauthenticated)
	if _, err := f.access.Refresh(t.Context(), visitor.RefreshToken); err != nil {
		t.Errorf("the visitor's after a month: %v", err)
	}
	f.clock.advance(335 * 24 * time.Hour)
	_, err = f.access.Refresh(t.Context(), visitor.RefreshToken)
	expectCode(t, err, parley.CodeUnauthenticated)
}

func TestStoreFailureIsNotARefusal(t *testing.T) {
	f := setup(t)
	visitor, agent := f.visitor(t), f.agent(t, f.agentRequest())
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"visitor": func() error {
			_, err := f.access.VisitorSession(t.Context(), parley.VisitorRequest{SiteKey: f.site.Key})
			return err
		},
		"agent":   func() error { _, err := f.access.AgentSession(t.Context(), f.agentRequest()); return err },
		"refresh": func() error { _, err := f.access.Refresh(t.Context(), agent.RefreshToken); return err },
	} {
		if err := call(); err == nil || !parley.ErrorOf(err).Code.Retry() {
			t.Errorf("%s: %v, want an error that says to try again", name, err)
		}
	}
	if _, err := f.access.Verify(t.Context(), visitor.Token); err != nil {
		t.Errorf("checking a token asked the store: %v", err)
	}
}
