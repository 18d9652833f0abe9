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
		"no site key":         {parley.VisitorRequest{}, parley.CodeNotFound},
		"unknown site key":    {parley.VisitorRequest{SiteKey: "key_9"}, parley.CodeNotFound},
		"site id for its key": {parley.VisitorRequest{SiteKey: f.site.ID}, parley.CodeNotFound},
		"malformed site key":  {parley.VisitorRequest{SiteKey: "key 1"}, parley.CodeNotFound},
		"a foreign web page":  {parley.VisitorRequest{SiteKey: f.site.Key, Origin: "https://evil.example"}, parley.CodeForbidden},
		"a page from nowhere": {parley.VisitorRequest{SiteKey: f.site.Key, Origin: "null"}, parley.CodeForbidden},
		"name of 81":          {parley.VisitorRequest{SiteKey: f.site.Key, Name: strings.Repeat("名", 81)}, parley.CodeInvalid},
		"name not UTF-8":      {parley.VisitorRequest{SiteKey: f.site.Key, Name: "\xff"}, parley.CodeInvalid},
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

// Names are made fit to be shown where they enter, whoever gives them.
func TestNamesAreCleaned(t *testing.T) {
	f := setup(t)
	for name, c := range map[string]struct{ in, want string }{
		"plain":                      {"韩梅梅 Han Meimei", "韩梅梅 Han Meimei"},
		"padded":                     {" \t\u00a0\u3000Ann\u2003\n", "Ann"},
		"padded with the invisible":  {"\u200bAnn\ufeff\u200f", "Ann"},
		"two lines":                  {"Ann\r\nLee", "Ann  Lee"},
		"line and paragraph ends":    {"Ann\u2028Lee\u2029!", "Ann Lee !"},
		"control characters":         {"A\x00n\x1b[31mn\x7f", "An[31mn"},
		"overrides":                  {"\u202eAnn\u202c (\u202ateam\u202b)\u202d", "Ann (team)"},
		"isolates":                   {"\u2066A\u2067n\u2068n\u2069", "Ann"},
		"Arabic and Hebrew":          {"سارة שרה", "سارة שרה"},
		"a non-joiner inside":        {"علی\u200cرضا", "علی\u200cرضا"},
		"joined emoji":               {"👩\u200d👩\u200d👧 ❤\ufe0f", "👩\u200d👩\u200d👧 ❤\ufe0f"},
		"a flag made of tags":        {"🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"},
		"a zero-width space only":    {"\u200b", ""},
		"a Hangul filler only":       {"\u3164", ""},
		"other fillers only":         {"\u115f\u1160\uffa0\u2800", ""},
		"direction marks only":       {"\u200e\u200f\u061c", ""},
		"joiners only":               {"\u200d\u200c\u200d", ""},
		"variation selectors only":   {"\ufe0f\U000e0100", ""},
		"tags only":                  {"\U000e0041\U000e007f", ""},
		"overrides only":             {"\u202e\u2066\u2069", ""},
		"everything that is nothing": {" \u200b\u034f\u2060\u2061\u180e\u00ad\t\u0085 ", ""},
		"a combining mark only":      {"\u0301", "\u0301"},
		"80 characters":              {"\u202e " + strings.Repeat("名", 80) + "\n", strings.Repeat("名", 80)},
	} {
		t.Run(name, func(t *testing.T) {
			visitor, err := f.access.VisitorSession(t.Context(), parley.VisitorRequest{SiteKey: f.site.Key, Name: c.in})
			if err != nil || visitor.Identity.Name != c.want {
				t.Errorf("visitor is called %+q, %v; want %+q", visitor.Identity.Name, err, c.want)
			}
		})
	}
	session := func(r parley.VisitorRequest) parley.Credentials {
		c, err := f.access.VisitorSession(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := session(parley.VisitorRequest{SiteKey: f.site.Key, Name: "Ann"})
	again := session(parley.VisitorRequest{SiteKey: f.site.Key, RefreshToken: first.RefreshToken, Name: "\u200b"})
	if again.Identity.Name != "Ann" {
		t.Errorf("a name that is not seen replaced Ann by %+q", again.Identity.Name)
	}
	agent := access.NewAccount{Email: "new@example.org", Name: "\u202eLi\nLei\u200b", Role: parley.RoleAgent, Password: password}
	_, accounts, err := f.access.Provision(t.Context(), f.site, []access.NewAccount{agent})
	if err != nil || accounts[0].Name != "Li Lei" {
		t.Errorf("agent is called %+v, %v", accounts, err)
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
