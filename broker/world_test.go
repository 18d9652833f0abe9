package broker_test

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/access"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/broker"
)

// patience is how long anything may take that is expected to happen.
const patience = 15 * time.Second

// canary is in every text and password of these tests, and must be in no log.
const canary = "kanarienvogel"

const password = "password of the " + canary

// world is a whole server behind the broker's doors: the real store in a folder
// of its own, the real bridge, the real tokens.
type world struct {
	t       testing.TB
	dir     string
	options broker.Options
	log     *logBook

	store  *fickleStore
	access *access.Access
	bridge *bridge.Bridge
	broker *broker.Broker
	http   *httptest.Server
	tcp    string

	site, other parley.Site
	panics      int64         // expected
	later       atomic.Int64  // how far the server's clock is ahead, a time.Duration
	tokenLife   time.Duration // 0: long
	hash        string
	running     bool
	burst       int // conversations that a visitor opens at once

	mu      sync.Mutex
	secrets []string
}

// newWorld opens a server that ends with the test. Afterwards nothing may be
// left of its connections, and nothing secret in its log.
func newWorld(t testing.TB, change ...func(*broker.Options)) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir(), change...)
}

func newWorldIn(t testing.TB, dir string, change ...func(*broker.Options)) *world {
	t.Helper()
	w := &world{t: t, dir: dir, log: &logBook{}, secrets: []string{canary}, burst: 10_000}
	w.options = broker.Options{
		PublishLimit: -1,
		Logger:       w.log.logger(),
		AllowOrigin: func(_ context.Context, site, origin string) bool {
			return slices.ContainsFunc([]parley.Site{w.site, w.other}, func(s parley.Site) bool {
				return (site == "" || site == s.ID) && slices.Contains(s.Origins, origin)
			})
		},
	}
	for _, c := range change {
		c(&w.options)
	}
	w.start()
	t.Cleanup(w.end)
	return w
}

func (w *world) start() {
	w.t.Helper()
	ctx := context.Background()
	store, err := sqlite.Open(ctx, sqlite.Options{Dir: w.dir, Logger: w.options.Logger, Now: w.now})
	must(w.t, err)
	w.store = &fickleStore{Store: store}
	w.access, err = access.New(ctx, store, access.Options{TokenLife: w.tokenLife, Revoked: func(r parley.Revocation) { w.broker.Revoke(r) }})
	must(w.t, err)
	w.site = w.provision(parley.Site{ID: "site_one", Key: "key_one", Name: "One", Origins: []string{"https://one.example"}})
	w.other = w.provision(parley.Site{ID: "site_two", Key: "key_two", Name: "Two", Origins: []string{"https://two.example"}})
	options := w.options
	options.Auth, options.Sessions = w.access, w.store
	w.broker = broker.New(options)
	w.bridge, err = bridge.New(ctx, w.store, bridge.Options{Logger: w.options.Logger, NewConversations: w.burst}, w.broker)
	must(w.t, err)
	must(w.t, w.broker.Start(w.bridge))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	w.tcp = l.Addr().String()
	w.broker.ServeTCP(l)
	w.http = httptest.NewUnstartedServer(w.broker.Handler())
	w.http.Config.ConnContext = broker.ConnContext
	w.http.Start()
	w.running = true
}

func (w *world) provision(site parley.Site) parley.Site {
	w.t.Helper()
	site, _, err := w.access.Provision(context.Background(), site, nil)
	must(w.t, err)
	return site
}

// stop closes the server in order, as a SIGTERM does.
func (w *world) stop() {
	w.t.Helper()
	if !w.running {
		return
	}
	w.running = false
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w.broker.CloseTunnels()
	w.http.Close()
	must(w.t, w.broker.Close(ctx))
	if held := w.broker.Held(); len(held) > 0 {
		w.t.Errorf("after everything was closed the broker holds %s", strings.Join(held, ", "))
	}
	if n := w.broker.Stats().Panics; n != w.panics {
		w.t.Errorf("%d panics, expected %d", n, w.panics)
	}
	w.panics = 0
	must(w.t, w.bridge.Close())
	must(w.t, w.store.Close())
}

func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

func (w *world) end() {
	w.stop()
	text := w.log.String()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, secret := range w.secrets {
		if strings.Contains(text, secret) {
			w.t.Errorf("the log holds a secret")
		}
	}
	if strings.Contains(text, "delivery is behind") {
		w.t.Error("a pump was woken for something that was not there")
	}
	if w.t.Failed() {
		w.t.Logf("the server's log:\n%s", text)
	}
}

// keepSecret makes the end of the test look for s in the log.
func (w *world) keepSecret(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets = append(w.secrets, s)
}

// visitor makes a visitor of the site with one device.
func (w *world) visitor() parley.Credentials {
	w.t.Helper()
	return w.visitorOf(w.site, "")
}

// again makes another device of the same visitor.
func (w *world) again(c parley.Credentials) parley.Credentials {
	w.t.Helper()
	return w.visitorOf(w.site, c.RefreshToken)
}

func (w *world) visitorOf(site parley.Site, refreshToken string) parley.Credentials {
	w.t.Helper()
	c, err := w.access.VisitorSession(context.Background(), parley.VisitorRequest{SiteKey: site.Key, RefreshToken: refreshToken, Name: "Han Meimei"})
	must(w.t, err)
	w.keepSecret(c.Token)
	return c
}

// agent signs an agent in on a new device, and makes the account if need be.
func (w *world) agent(name string) parley.Credentials {
	w.t.Helper()
	return w.staff(name, parley.RoleAgent)
}

func (w *world) staff(name string, role parley.Role) parley.Credentials {
	w.t.Helper()
	ctx := context.Background()
	email := name + "@example.org"
	if w.hash == "" {
		var err error
		w.hash, err = w.access.HashPassword(ctx, password)
		must(w.t, err)
	}
	if _, err := w.store.AccountByEmail(ctx, w.site.ID, email); parley.ErrorOf(err) != nil {
		must(w.t, w.store.PutAccount(ctx, parley.Account{
			Site: w.site.ID, ID: "agt_" + name, Email: email, Name: name, Role: role, PasswordHash: w.hash,
		}))
	}
	c, err := w.access.AgentSession(ctx, parley.AgentRequest{Site: w.site.ID, Email: email, Password: password})
	must(w.t, err)
	w.keepSecret(c.Token)
	return c
}

// conversation opens a conversation of a visitor with n messages.
func (w *world) conversation(who parley.Credentials, n int) string {
	w.t.Helper()
	id := parley.NewID(parley.PrefixConversation)
	w.write(who, id, n)
	return id
}

// write records n messages without MQTT.
func (w *world) write(who parley.Credentials, conversation string, n int) {
	w.t.Helper()
	for range n {
		w.record(who, conversation, draft())
	}
}

func (w *world) record(who parley.Credentials, conversation string, d parley.Draft) {
	w.t.Helper()
	answers, err := w.bridge.Record(context.Background(), who.Identity, conversation, []parley.Draft{d})
	must(w.t, err)
	must(w.t, answers[0].Err)
}

func (w *world) claim(who parley.Credentials, conversation string) {
	w.t.Helper()
	_, err := w.bridge.Claim(context.Background(), who.Identity, conversation)
	must(w.t, err)
}

func (w *world) finish(who parley.Credentials, conversation string) {
	w.t.Helper()
	_, err := w.bridge.Finish(context.Background(), who.Identity, conversation)
	must(w.t, err)
}

// stored returns the whole messages stream of a conversation.
func (w *world) stored(conversation string) []parley.Entry {
	w.t.Helper()
	return w.streamOf(parley.MessagesOf(w.site.ID, conversation))
}

func (w *world) streamOf(stream parley.Stream) []parley.Entry {
	w.t.Helper()
	entries, err := w.store.Read(context.Background(), stream, 0, 100_000)
	must(w.t, err)
	return entries
}

// texts returns the ids of the text messages of a conversation, in order.
func (w *world) texts(conversation string) []string {
	w.t.Helper()
	return textIDs(w.stored(conversation))
}

func textIDs(entries []parley.Entry) []string {
	ids := []string{}
	for _, e := range entries {
		if e.Type == parley.EntryText {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// draft returns a new text message.
func draft() parley.Draft {
	id := parley.NewID(parley.PrefixMessage)
	return parley.NewText(id, "text of "+id+" with the "+canary)
}

func drafts(n int) []parley.Draft {
	all := make([]parley.Draft, n)
	for i := range all {
		all[i] = draft()
	}
	return all
}

func idsOf(all []parley.Draft) []string {
	ids := make([]string, len(all))
	for i, d := range all {
		ids[i] = d.ID
	}
	return ids
}

// await polls until condition answers "", and fails with what it answered last.
func await(t testing.TB, condition func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		missing := condition()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still waiting after %v: %s", patience, missing)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// awaitCount waits for a counter.
func awaitCount(t testing.TB, what string, want int64, count func() int64) {
	t.Helper()
	await(t, func() string {
		if n := count(); n != want {
			return fmt.Sprintf("%s is %d, want %d", what, n, want)
		}
		return ""
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
