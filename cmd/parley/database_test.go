package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/database"
)

// startDatabase starts a server of MongoDB's protocol that ends with the test.
func startDatabase(t *testing.T) *database.Database {
	t.Helper()
	binary, err := database.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d, err := database.New(t.Context(), binary, filepath.Join(t.TempDir(), "database"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Kill)
	return d
}

func databaseConfig(t *testing.T, uri string) config {
	c := testConfig(t)
	c.Data, c.Store, c.trusting = "", uri, true
	return c
}

func TestDatabase(t *testing.T) {
	d := startDatabase(t)
	t.Run("comes and goes", func(t *testing.T) { comesAndGoes(t, d) })
	t.Run("is migrated to", func(t *testing.T) { migratedTo(t, d) })
	t.Run("is used while it is migrated", func(t *testing.T) { usedWhileMigrated(t, d) })
	t.Run("cannot be used", func(t *testing.T) { cannotBeUsed(t, d) })
}

// comesAndGoes sends a message to a server whose store is elsewhere, kills the
// store and starts both again.
func comesAndGoes(t *testing.T, d *database.Database) {
	c := databaseConfig(t, d.URI("chat"))
	first := startNode(t, c)
	token, id, draft := visit(t, first), parley.NewID(parley.PrefixConversation), parley.NewText("msg_00001", "你好")
	if status := postMessage(t, first, token, id, draft); status != http.StatusCreated {
		t.Fatalf("the message is answered with %d", status)
	}
	if code, body := get(t, first.metricsAddr, "/metrics"); code != http.StatusOK || !strings.Contains(body, "parley_store_resolved_total 0") {
		t.Errorf("metrics: %d\n%s", code, body)
	}
	awaitReady(t, first, true)
	d.Kill()
	awaitReady(t, first, false)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, first, true)
	if err := first.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := startNode(t, c)
	if status := postMessage(t, again, token, id, draft); status != http.StatusOK {
		t.Errorf("the repeat is answered with %d", status)
	}
}

// migratedTo moves the embedded store of a server into a database, and starts the
// server on that.
func migratedTo(t *testing.T, d *database.Database) {
	c := testConfig(t)
	n := startNode(t, c)
	token, id, draft := visit(t, n), parley.NewID(parley.PrefixConversation), parley.NewText("msg_00001", "你好")
	if status := postMessage(t, n, token, id, draft); status != http.StatusCreated {
		t.Fatalf("the message is answered with %d", status)
	}
	if err := n.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	to := d.URI("moved")
	var out bytes.Buffer
	m := migration{
		from: namedStore{text: "sqlite:" + c.Data, name: "--from"}, to: namedStore{text: to, name: "--to"},
		screen: &out, log: slog.New(slog.DiscardHandler),
	}
	if err := m.run(t.Context()); err != nil || !strings.Contains(out.String(), "the same: ") {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if status := postMessage(t, startNode(t, databaseConfig(t, to)), token, id, draft); status != http.StatusOK { // with the token of before
		t.Errorf("the repeat is answered with %d", status)
	}
}

// usedWhileMigrated copies a database whose server is not stopped.
func usedWhileMigrated(t *testing.T, d *database.Database) {
	n := startNode(t, databaseConfig(t, d.URI("used")))
	token, id := visit(t, n), parley.NewID(parley.PrefixConversation)
	say := func(message string) {
		if status := postMessage(t, n, token, id, parley.NewText(message, "你好")); status != http.StatusCreated {
			t.Errorf("the message is answered with %d", status)
		}
	}
	say("msg_00001")
	var screen busyScreen
	m := migration{
		from: namedStore{text: d.URI("used"), name: "--from"}, to: namedStore{text: "sqlite:" + filepath.Join(t.TempDir(), "copy"), name: "--to"},
		screen: &screen, log: slog.New(slog.DiscardHandler),
	}
	if err := m.run(t.Context()); err != nil || !strings.Contains(screen.String(), "warning: a server has used --from "+d.URI("used")) {
		t.Errorf("it has just been used: %v\n%s", err, screen.String())
	}
	m.to.text = "sqlite:" + filepath.Join(t.TempDir(), "copy")
	screen.write = func() { say("msg_00002") }
	if err := m.run(t.Context()); err == nil || !strings.Contains(err.Error(), "--from "+d.URI("used")+": a server has used this store meanwhile: stop it, delete the copy") {
		t.Errorf("it is used: %v", err)
	}
}

// busyScreen calls write when everything is copied and compared.
type busyScreen struct {
	bytes.Buffer
	write func()
}

func (s *busyScreen) Write(p []byte) (int, error) {
	if s.write != nil && bytes.HasPrefix(p, []byte("the same: ")) {
		s.write()
	}
	return s.Buffer.Write(p)
}

// cannotBeUsed reads what the server says when it cannot start. It never tells the
// password.
func cannotBeUsed(t *testing.T, d *database.Database) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down := nobody.Addr().String()
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimSuffix(strings.TrimPrefix(d.URI("chat"), "mongodb://"), "/chat")
	for name, c := range map[string]struct {
		uri   string
		probe bool
		want  string
	}{
		"down":             {"mongodb://u:s3cret@" + down + "/chat", false, "nothing listens"},
		"a wrong password": {"mongodb://u:s3cret@" + host + "/chat", false, "user name or the password"},
		"a bad option":     {"mongodb://u:s3cret@" + host + "/chat?connectTimeoutMS=soon", false, "not one of MongoDB's"},
		"a wrong set":      {"mongodb://" + host + "/chat?replicaSet=other", false, `replica set "rs"`},
		"loses updates":    {"mongodb://" + host + "/chat", true, "cannot be used: it loses updates"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			config := databaseConfig(t, c.uri)
			config.trusting = !c.probe
			n, err := openNode(t.Context(), config, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
			if err == nil {
				_ = n.close(context.WithoutCancel(t.Context()))
				t.Fatal("it starts")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("it says: %v", err)
			}
			if strings.Contains(err.Error()+log.String(), "s3cret") {
				t.Errorf("it tells the password: %v\n%s", err, log.String())
			}
		})
	}
}

// visit returns a visitor's token.
func visit(t *testing.T, n *node) string {
	t.Helper()
	r, err := http.Post("http://"+n.httpAddr.String()+"/v1/visitor-sessions", "application/json", strings.NewReader(`{"siteKey":"`+demoSiteKey+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	var session struct{ Token string }
	if err := json.NewDecoder(r.Body).Decode(&session); err != nil || session.Token == "" {
		t.Fatalf("visitor session: %d, %v", r.StatusCode, err)
	}
	return session.Token
}

func postMessage(t *testing.T, n *node, token, conversation string, d parley.Draft) int {
	t.Helper()
	body, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+n.httpAddr.String()+"/v1/conversations/"+conversation+"/messages", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

func awaitReady(t *testing.T, n *node, want bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		code, body := get(t, n.httpAddr, "/readyz")
		if code == http.StatusOK == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("ready: %d %s, want %v", code, body, want)
		}
	}
}
