package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asCommand makes the test binary the command.
const asCommand = "PARLEY_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if dir := os.Getenv(keptVariable); dir != "" {
		os.Exit(keptChild(dir))
	}
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func testConfig(t *testing.T) config {
	c := defaultConfig()
	c.Data, c.HTTP, c.MQTT, c.Metrics = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.DemoSite, c.DemoOrigins = true, []string{"https://shop.example"}
	return c
}

func startNode(t *testing.T, c config) *node {
	t.Helper()
	if err := c.validate(); err != nil {
		t.Fatal(err)
	}
	n, err := openNode(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.close(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return n
}

func get(t *testing.T, address net.Addr, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://" + address.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

func TestNodeServes(t *testing.T) {
	n := startNode(t, testConfig(t))
	if code, body := get(t, n.httpAddr, "/readyz"); code != http.StatusOK {
		t.Errorf("readyz: %d %s", code, body)
	}
	if code, _ := get(t, n.httpAddr, "/metrics"); code == http.StatusOK {
		t.Error("the public address shows metrics")
	}
	code, body := get(t, n.metricsAddr, "/metrics")
	if code != http.StatusOK || !strings.Contains(body, "parley_mqtt_connections 0") || !strings.Contains(body, "parley_store_batches_total") {
		t.Errorf("metrics: %d\n%s", code, body)
	}
	session := `{"siteKey":"` + demoSiteKey + `"}`
	r, err := http.Post("http://"+n.httpAddr.String()+"/v1/visitor-sessions", "application/json", bytes.NewBufferString(session))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	var answer struct{ Site, User, Token string }
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil || answer.Site != demoSite || answer.Token == "" {
		t.Errorf("visitor session: %d %+v %v", r.StatusCode, answer, err)
	}
}

func TestTwoServersOnOneFolder(t *testing.T) {
	c := testConfig(t)
	startNode(t, c)
	_, err := openNode(t.Context(), c, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), c.Data) {
		t.Errorf("the second server says %v; want an error that names %s", err, c.Data)
	}
}

func TestPortInUse(t *testing.T) {
	first := startNode(t, testConfig(t))
	c := testConfig(t)
	c.MQTT = first.mqttAddr.String()
	_, err := openNode(t.Context(), c, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "MQTT") {
		t.Errorf("got %v; want an error that names the port's use", err)
	}
	if err := os.RemoveAll(c.Data); err != nil { // nothing holds the folder any more
		t.Error(err)
	}
}

func TestRunStopsOnSignal(t *testing.T) {
	n := startNode(t, testConfig(t))
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- n.run(ctx) }()
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
