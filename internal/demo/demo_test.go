package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/demo"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

const patience = 20 * time.Second

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "parley-demo")
	if err == nil {
		binary, err = server.Build(context.Background(), dir, false)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir) // what is left is in the system's folder for such things
	os.Exit(code)
}

// freeAddress returns an address that nobody listens on. Its port is below those
// that the kernel hands out: it must still be free when the server starts.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20000+rand.IntN(10000)))
		if err != nil {
			continue
		}
		l.Close()
		return l.Addr().String()
	}
}

// output collects the screen.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func options(t *testing.T, screen *output) demo.Options {
	t.Helper()
	return demo.Options{
		Executable: binary, Data: t.TempDir(), HTTP: freeAddress(t), MQTT: freeAddress(t), Metrics: "off", Page: "127.0.0.1:0",
		Site: server.Site, SiteKey: server.SiteKey,
		Agents: []demo.Login{{Email: server.AgentEmail, Password: server.Password}, {Email: server.SecondEmail, Password: server.Password}},
		Pages:  fstest.MapFS{"demo/index.html": {Data: []byte("<!doctype html><title>demo</title>")}, "demo/shop.html": {Data: []byte("shop")}},
		Screen: screen, Logger: slog.New(slog.DiscardHandler),
	}
}

func TestServerComesBackAndTheScoreHolds(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("demo", func(t *testing.T) {
		var screen output
		o := options(t, &screen)
		d, p := start(t, o)
		rest := device.NewREST("http://" + o.HTTP)
		defer rest.Close()
		visitor, err := rest.Visitor(t.Context(), o.SiteKey, "Ann")
		if err != nil {
			t.Fatal(err)
		}
		conversation := parley.NewID(parley.PrefixConversation)
		publisher := device.NewPublisher(device.Endpoint{REST: rest, MQTT: o.MQTT}, visitor, conversation, 20)
		running, stop := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		ended.Go(func() { publisher.Run(running) })
		defer ended.Wait()
		defer stop()

		const messages = 200
		for i := range messages {
			publisher.Send(fmt.Sprint("flood ", i))
			if i == messages/2 {
				awaitAcks(t, publisher, 1)
				killed := d.ServerPID()
				if answer := p.post("/demo/kill", struct{}{}); !strings.Contains(string(answer), fmt.Sprint(killed)) {
					t.Errorf("kill answers %s, want pid %d", answer, killed)
				}
			}
		}
		awaitAcks(t, publisher, messages)
		p.await("the server is back", func(now picture) bool { return now.Server.Up && now.Server.Starts == 2 && now.Server.BackAfter > 0 })

		p.post("/demo/runs", map[string]string{"run": "r1"})
		reportAll(t, p, rest, visitor, publisher, "visitor", "pc", "tablet")
		got := p.await("all agree", func(now picture) bool { return now.Score.Agreed }).Score
		if got.Sent != messages || got.Acked != messages || got.Stored != messages || got.Elsewhere != 0 {
			t.Errorf("sent %d, acknowledged %d, stored %d, elsewhere %d; want %d of each and 0", got.Sent, got.Acked, got.Stored, got.Elsewhere, messages)
		}
		for _, want := range []string{"signal: killed", "server is back"} {
			if !strings.Contains(screen.String(), want) {
				t.Errorf("the screen does not say %q:\n%s", want, screen.String())
			}
		}
		p.post("/demo/report", map[string]any{
			"run": "r1", "device": "tablet", "user": "agt_someone", "online": true,
			"views": []any{map[string]any{"conversation": parley.NewID(parley.PrefixConversation)}},
		})
		p.await("the tablet has turned to a conversation that does not exist yet", func(now picture) bool { return len(now.Score.Waiting) == 1 })
		expectQuietLog(t, o)
	})
}

// expectQuietLog fails if the server's log grows by being asked how it is.
func expectQuietLog(t *testing.T, o demo.Options) {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(o.Data, "demo", "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(log, []byte("method=POST")) {
		t.Errorf("a sign-in is missing in the log:\n%s", log)
	}
	for line := range bytes.Lines(log) {
		if bytes.Contains(line, []byte("method=GET")) {
			t.Fatalf("the log holds %s", line)
		}
	}
}

func awaitAcks(t *testing.T, p *device.Publisher, n int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for p.Acked() < n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d of %d acknowledged: %v", p.Acked(), n, p.Err())
		}
	}
}

// reportAll reports as the page would if every device showed what is stored.
func reportAll(t *testing.T, p *page, rest *device.REST, visitor *device.Session, publisher *device.Publisher, devices ...string) {
	t.Helper()
	entries, err := rest.Entries(t.Context(), visitor, publisher.Conversation)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range devices {
		rows := []map[string]any{}
		for _, e := range entries {
			if e.Type.Message() {
				rows = append(rows, map[string]any{"seq": e.Seq, "id": e.ID, "own": name == "visitor", "text": textOf(e.Body)})
			}
		}
		report := map[string]any{
			"run": "r1", "device": name, "user": "agt_someone", "online": true,
			"views": []any{map[string]any{"conversation": publisher.Conversation, "complete": true, "keep": 0, "rows": rows}},
		}
		if name == "visitor" {
			report["user"] = visitor.User
			sent, acked := []any{}, []any{}
			for _, r := range publisher.Journal.Records() {
				m := map[string]any{"conversation": r.Conversation, "id": r.ID, "seq": r.Seq, "text": textOf(r.Body)}
				switch r.Event {
				case checker.Sent:
					sent = append(sent, m)
				case checker.Acked:
					acked = append(acked, m)
				}
			}
			report["sent"], report["acked"] = sent, acked
		}
		p.post("/demo/report", report)
	}
}

func textOf(body json.RawMessage) string {
	var b struct{ Text string }
	_ = json.Unmarshal(body, &b)
	return b.Text
}

func TestPulledCable(t *testing.T) {
	_, p := start(t, options(t, &output{}))
	pc, tablet := p.origin("pc"), p.origin("tablet")
	p.post("/demo/cable", map[string]any{"device": "pc", "plugged": false})
	p.await("the cable of pc is out, and no other", func(now picture) bool { return !now.Cables["pc"] && now.Cables["tablet"] && now.Cables["visitor"] })
	if status, _, _ := p.get(tablet + "/readyz"); status != http.StatusOK {
		t.Errorf("the tablet gets status %d", status)
	}
	answered := make(chan int, 1)
	go func() {
		resp, err := p.http.Get(pc + "/readyz")
		if err != nil {
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	select {
	case status := <-answered:
		t.Fatalf("an answer passed a pulled cable: status %d", status)
	case <-time.After(200 * time.Millisecond):
	}
	p.post("/demo/cable", map[string]any{"device": "pc", "plugged": true})
	if status := <-answered; status != http.StatusOK {
		t.Errorf("after plugging in again: status %d", status)
	}
}

func TestDevicePages(t *testing.T) {
	_, p := start(t, options(t, &output{}))
	for _, test := range []struct{ device, contains, lacks string }{
		{"visitor", `"siteKey":"demo-key"`, "password"},
		{"tablet", `"password":"parley-demo"`, `"visitor"`},
	} {
		_, _, body := p.get(p.origin(test.device) + "/demo/device.json")
		if !strings.Contains(string(body), test.contains) || strings.Contains(string(body), test.lacks) {
			t.Errorf("%s is told %s; want it with %s and without %s", test.device, body, test.contains, test.lacks)
		}
	}
	_, header, body := p.get(p.origin("visitor") + "/demo/shop.html")
	if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors "+p.url) || strings.Contains(policy, "unsafe") {
		t.Errorf("policy of the shop: %s", policy)
	}
	if string(body) != "shop" {
		t.Errorf("the shop: %s", body)
	}
	if _, header, _ := p.get(p.url + "/"); !strings.Contains(header.Get("Content-Security-Policy"), "frame-src "+p.origin("visitor")) {
		t.Errorf("policy of the page: %s", header.Get("Content-Security-Policy"))
	}
	if status, _, _ := p.get(p.origin("visitor") + "/demo/kill"); status == http.StatusOK {
		t.Error("a device reaches the buttons")
	}
}

// A page of one's own may have the widget beside the demo's pages.
func TestPagesOfOnesOwn(t *testing.T) {
	const own, framing = "http://localhost:3000", "http://localhost:4000"
	t.Setenv("PARLEY_DEMO_ORIGINS", own) // as the child would inherit it
	o := options(t, &output{})
	o.Origins, o.Ancestors = []string{own}, []string{framing}
	_, p := start(t, o)
	for _, origin := range []string{own, p.origin("visitor")} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+o.HTTP+"/v1/visitor-sessions", strings.NewReader(`{"siteKey":"demo-key"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Origin", origin)
		status, header, body := p.do(req)
		if status/100 != 2 || header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("a visitor on %s: status %d, allowed %q: %s", origin, status, header.Get("Access-Control-Allow-Origin"), body)
		}
	}
	_, header, _ := p.get("http://" + o.HTTP + "/agent/")
	if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, framing) || !strings.Contains(policy, p.url) {
		t.Errorf("policy of the agents' page: %s", policy)
	}
}

func TestPrintedLineWorks(t *testing.T) {
	var screen output
	o := options(t, &screen)
	start(t, o)
	line := ""
	for l := range strings.Lines(screen.String()) {
		if strings.HasPrefix(l, "mosquitto_sub ") {
			line = strings.TrimSpace(l)
		}
	}
	// -E: leave once the subscription is acknowledged.
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line+" -E").CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", line, err, out)
	}
	if len(bytes.TrimSpace(out)) != 0 {
		t.Errorf("it complains: %s", out)
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for flag, set := range map[string]func(*demo.Options){
		"--http":         func(o *demo.Options) { o.HTTP = taken.Addr().String() },
		"--mqtt":         func(o *demo.Options) { o.MQTT = taken.Addr().String() },
		"PARLEY_METRICS": func(o *demo.Options) { o.Metrics = taken.Addr().String() },
		"--page":         func(o *demo.Options) { o.Page = taken.Addr().String() },
	} {
		o := options(t, &output{})
		o.Data = filepath.Join(o.Data, "new")
		set(&o)
		d, err := demo.Start(t.Context(), o)
		if err == nil {
			d.Close()
			t.Errorf("%s: started on a port that is taken", flag)
			continue
		}
		if !strings.Contains(err.Error(), port) || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v; want the port and the setting", flag, err)
		}
		if _, err := os.Stat(o.Data); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: there is a data folder (%v)", flag, err)
		}
	}
}

// A server that cannot start is told with its own reason.
func TestServerThatCannotStart(t *testing.T) {
	o := options(t, &output{})
	if err := os.WriteFile(o.Data+"/parley.db", []byte("this is not a database, whatever its name says"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := demo.Start(t.Context(), o)
	if err == nil {
		d.Close()
		t.Fatal("started on a broken store")
	}
	if !strings.Contains(err.Error(), "not a database") {
		t.Errorf("the reason is missing: %v", err)
	}
}
