package access_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/access"
	"github.com/parley-chat/parley/bridge/sqlite"
)

const password = "correct horse battery"

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type fixture struct {
	store       *sqlite.Store
	access      *access.Access
	clock       *clock
	site, other parley.Site
	account     parley.Account
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{store: openStore(t), clock: &clock{at: time.Date(2026, 11, 21, 8, 0, 0, 123456789, time.UTC)}}
	var err error
	if f.access, err = access.New(t.Context(), f.store, access.Options{Now: f.clock.now}); err != nil {
		t.Fatal(err)
	}
	f.site = f.provision(t, parley.Site{Key: "key_1", Name: "One", Origins: []string{"https://one.example"}})
	f.other = f.provision(t, parley.Site{Key: "key_2", Name: "Two", Origins: []string{"*"}})
	f.account, err = f.store.AccountByEmail(t.Context(), f.site.ID, "lilei@example.org")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) provision(t *testing.T, site parley.Site) parley.Site {
	t.Helper()
	site, _, err := f.access.Provision(t.Context(), site, []access.NewAccount{
		{Email: " LiLei@Example.org", Name: "李雷", Role: parley.RoleOwner, Password: password},
	})
	if err != nil {
		t.Fatal(err)
	}
	return site
}

func (f *fixture) visitor(t *testing.T) parley.Credentials {
	t.Helper()
	c, err := f.access.VisitorSession(t.Context(), parley.VisitorRequest{SiteKey: f.site.Key, Name: "Han Meimei"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (f *fixture) agentRequest() parley.AgentRequest {
	return parley.AgentRequest{Site: f.site.ID, Email: "lilei@example.org", Password: password, RemoteIP: "192.0.2.1"}
}

func (f *fixture) agent(t *testing.T, r parley.AgentRequest) parley.Credentials {
	t.Helper()
	c, err := f.access.AgentSession(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func expectCode(t *testing.T, err error, want parley.Code) {
	t.Helper()
	var e *parley.Error
	if !errors.As(err, &e) || e.Code != want {
		t.Errorf("error is %v, want code %s", err, want)
	}
}

func openStore(t testing.TB) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}
