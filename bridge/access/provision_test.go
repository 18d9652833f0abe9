package access_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/access"
)

func TestProvisionTwiceIsOnce(t *testing.T) {
	f := setup(t)
	agents := []access.NewAccount{{Email: "LILEI@example.org", Role: parley.RoleAgent, Password: "another password"}}
	site, accounts, err := f.access.Provision(t.Context(), parley.Site{Key: f.site.Key, Name: "Uno"}, agents)
	if err != nil {
		t.Fatal(err)
	}
	if site.ID != f.site.ID || site.Name != "Uno" {
		t.Errorf("site %+v, want the id of before and the new name", site)
	}
	if diff := cmp.Diff([]parley.Account{f.account}, accounts); diff != "" {
		t.Errorf("the account changed:\n%s", diff)
	}
	f.agent(t, f.agentRequest()) // with the first password
}

func TestProvisionRefusals(t *testing.T) {
	f := setup(t)
	good := access.NewAccount{Email: "a@example.org", Role: parley.RoleAgent, Password: password}
	for name, c := range map[string]struct {
		site   parley.Site
		change func(*access.NewAccount)
	}{
		"no key":         {parley.Site{}, func(*access.NewAccount) {}},
		"malformed id":   {parley.Site{Key: "key_3", ID: "a/b"}, func(*access.NewAccount) {}},
		"no address":     {f.site, func(n *access.NewAccount) { n.Email = "nobody" }},
		"short password": {f.site, func(n *access.NewAccount) { n.Password = "1234567" }},
		"long password":  {f.site, func(n *access.NewAccount) { n.Password = strings.Repeat("p", 257) }},
		"visitor's role": {f.site, func(n *access.NewAccount) { n.Role = parley.RoleVisitor }},
		"no role":        {f.site, func(n *access.NewAccount) { n.Role = "" }},
		"broken name":    {f.site, func(n *access.NewAccount) { n.Name = "\xff" }},
	} {
		t.Run(name, func(t *testing.T) {
			account := good
			c.change(&account)
			_, _, err := f.access.Provision(t.Context(), c.site, []access.NewAccount{account})
			expectCode(t, err, parley.CodeInvalid)
		})
	}
}
