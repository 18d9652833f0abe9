package sqlite_test

import (
	"testing"

	"github.com/parley-chat/parley"
)

func TestSites(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	ctx := t.Context()
	a := parley.Site{ID: "ste_a", Key: "key_a", Name: "茶店", Origins: []string{"https://tea.example"}}
	b := parley.Site{ID: "ste_b", Key: "key_b"}
	must(t, s.PutSite(ctx, b))
	must(t, s.PutSite(ctx, a))
	a.Name = "茶屋"
	must(t, s.PutSite(ctx, a))
	mustRefuse(t, s.PutSite(ctx, parley.Site{ID: "ste_c", Key: "key_a"}), parley.CodeConflict)
	mustRefuse(t, s.PutSite(ctx, parley.Site{ID: "ste_c"}), parley.CodeInvalid)

	sites, err := s.Sites(ctx)
	must(t, err)
	equal(t, "sites", sites, []parley.Site{a, b})
	got, err := s.Site(ctx, "ste_a")
	must(t, err)
	equal(t, "by id", got, a)
	got, err = s.SiteByKey(ctx, "key_b")
	must(t, err)
	equal(t, "by key", got, b)
	_, err = s.Site(ctx, "ste_c")
	mustRefuse(t, err, parley.CodeNotFound)
	_, err = s.SiteByKey(ctx, "key_c")
	mustRefuse(t, err, parley.CodeNotFound)
	if _, err = s.SiteByKey(ctx, ""); err == nil {
		t.Error("an empty key found a site")
	}
}

func TestAccounts(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	ctx := t.Context()
	ann := parley.Account{Site: "ste_a", ID: "agt_ann", Email: "ann@tea.example", Name: "Ann", Role: parley.RoleAgent, PasswordHash: "$argon2id$x"}
	must(t, s.PutAccount(ctx, ann))
	ann.Role = parley.RoleSupervisor
	must(t, s.PutAccount(ctx, ann))
	twin := parley.Account{Site: "ste_a", ID: "agt_twin", Email: ann.Email}
	mustRefuse(t, s.PutAccount(ctx, twin), parley.CodeConflict)
	twin.Site = "ste_b"
	must(t, s.PutAccount(ctx, twin))
	mustRefuse(t, s.PutAccount(ctx, parley.Account{Site: "ste_a", ID: "agt_x"}), parley.CodeInvalid)

	got, err := s.AccountByEmail(ctx, "ste_a", ann.Email)
	must(t, err)
	equal(t, "by email", got, ann)
	got, err = s.Account(ctx, "ste_b", "agt_twin")
	must(t, err)
	equal(t, "by id", got, twin)
	_, err = s.Account(ctx, "ste_b", "agt_ann")
	mustRefuse(t, err, parley.CodeNotFound)
	_, err = s.AccountByEmail(ctx, "ste_a", "nobody@tea.example")
	mustRefuse(t, err, parley.CodeNotFound)
	if _, err = s.Account(ctx, "", "agt_ann"); err == nil {
		t.Error("an empty site found an account")
	}
}
