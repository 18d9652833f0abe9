package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func healthcheck(t *testing.T, address string) error {
	t.Helper()
	root := newRoot()
	root.SetArgs([]string{"healthcheck", "--http", address})
	return root.ExecuteContext(t.Context())
}

func TestHealthcheck(t *testing.T) {
	n := startNode(t, testConfig(t))
	address := n.httpAddr.String()
	if err := healthcheck(t, address); err != nil {
		t.Errorf("a server that is well: %v", err)
	}
	_, port, err := net.SplitHostPort(address)
	must(t, err)
	for _, everywhere := range []string{":" + port, "0.0.0.0:" + port} {
		if err := healthcheck(t, everywhere); err != nil {
			t.Errorf("at %s: %v", everywhere, err)
		}
	}
	must(t, n.close(t.Context()))
	if err := healthcheck(t, address); err == nil {
		t.Error("a server that is gone is well")
	}
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"code":"unavailable","detail":"the disk is full"}`))
	}))
	defer ill.Close()
	if err := healthcheck(t, ill.Listener.Addr().String()); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("a server that is ill: %v", err)
	}
	if err := healthcheck(t, "nonsense"); err == nil || !strings.Contains(err.Error(), "PARLEY_HTTP") {
		t.Errorf("no address: %v", err)
	}
}
