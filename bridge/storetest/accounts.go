package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/parley-chat/parley"
)

func (s restSuite) sites(t *testing.T) {
	st := s.store(t)
	ctx := testContext(t)
	a := parley.Site{ID: "ste_a", Key: "key_a", Name: "茶店", Origins: []string{"https://tea.example"}}
	b := parley.Site{ID: "ste_b", Key: "key_b"}
	must(t, st.PutSite(ctx, b))
	must(t, st.PutSite(ctx, a))
	a.Name = "茶屋"
	must(t, st.PutSite(ctx, a))
	mustRefuse(t, st.PutSite(ctx, parley.Site{ID: "ste_c", Key: "key_a"}), parley.CodeConflict)
	mustRefuse(t, st.PutSite(ctx, parley.Site{ID: "ste_c"}), parley.CodeInvalid)

	sites, err := st.Sites(ctx)
	must(t, err)
	equal(t, "sites", sites, []parley.Site{a, b})
	got, err := st.Site(ctx, "ste_a")
	must(t, err)
	equal(t, "by id", got, a)
	got, err = st.SiteByKey(ctx, "key_b")
	must(t, err)
	equal(t, "by key", got, b)
	_, err = st.Site(ctx, "ste_c")
	mustRefuse(t, err, parley.CodeNotFound)
	_, err = st.SiteByKey(ctx, "key_c")
	mustRefuse(t, err, parley.CodeNotFound)
	if _, err = st.SiteByKey(ctx, ""); err == nil {
		t.Error("an empty key found a site")
	}
}

func (s restSuite) accounts(t *testing.T) {
	st := s.store(t)
	ctx := testContext(t)
	ann := parley.Account{Site: "ste_a", ID: "agt_ann", Email: "ann@tea.example", Name: "Ann", Role: parley.RoleAgent, PasswordHash: "$argon2id$x"}
	must(t, st.PutAccount(ctx, ann))
	ann.Role = parley.RoleSupervisor
	must(t, st.PutAccount(ctx, ann))
	twin := parley.Account{Site: "ste_a", ID: "agt_twin", Email: ann.Email}
	mustRefuse(t, st.PutAccount(ctx, twin), parley.CodeConflict)
	twin.Site = "ste_b"
	must(t, st.PutAccount(ctx, twin))
	mustRefuse(t, st.PutAccount(ctx, parley.Account{Site: "ste_a", ID: "agt_x"}), parley.CodeInvalid)

	got, err := st.AccountByEmail(ctx, "ste_a", ann.Email)
	must(t, err)
	equal(t, "by email", got, ann)
	got, err = st.Account(ctx, "ste_b", "agt_twin")
	must(t, err)
	equal(t, "by id", got, twin)
	_, err = st.Account(ctx, "ste_b", "agt_ann")
	mustRefuse(t, err, parley.CodeNotFound)
	_, err = st.AccountByEmail(ctx, "ste_a", "nobody@tea.example")
	mustRefuse(t, err, parley.CodeNotFound)
	if _, err = st.Account(ctx, "", "agt_ann"); err == nil {
		t.Error("an empty site found an account")
	}
}

func (s restSuite) revocations(t *testing.T) {
	dir := t.TempDir()
	st := s.open(t, dir, time.Now)
	ctx := testContext(t)
	all := parley.Revocation{Site: "ste_a", User: "agt_a", Before: 200}
	one := parley.Revocation{Site: "ste_a", User: "agt_a", Device: "dev_a", Before: 300}
	must(t, st.Revoke(ctx, all))
	must(t, st.Revoke(ctx, one))
	must(t, st.Revoke(ctx, one))
	must(t, st.Revoke(ctx, parley.Revocation{Site: "ste_a", User: "agt_a", Before: 100})) // an earlier one
	mustRefuse(t, st.Revoke(ctx, parley.Revocation{Site: "ste_a"}), parley.CodeInvalid)
	closeStore(t, st)
	st = s.open(t, dir, time.Now)
	defer closeStore(t, st)
	found, err := st.Revocations(ctx)
	must(t, err)
	slices.SortFunc(found, func(a, b parley.Revocation) int { return int(a.Before - b.Before) })
	equal(t, "revocations", found, []parley.Revocation{all, one})
}
