package device_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/internal/fault/device"
)

// echo is a server that sends down what has come up. It answers every chunk for
// the first time with an error, after it has taken it.
type echo struct {
	mu    sync.Mutex
	taken int
	came  chan []byte
	end   chan string // a last event
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/mqtt/http":
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"tunnel":"tun_one"}`)
	case "/mqtt/http/tun_one/down":
		e.down(w, r)
	case "/mqtt/http/tun_one/up":
		e.up(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (e *echo) down(w http.ResponseWriter, r *http.Request) {
	sent := 0
	for {
		_ = http.NewResponseController(w).Flush()
		select {
		case p := <-e.came:
			sent += len(p)
			fmt.Fprintf(w, ":\n\nid: %d\ndata: %s\n\n", sent, base64.StdEncoding.EncodeToString(p))
		case last := <-e.end:
			_, _ = io.WriteString(w, last)
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (e *echo) up(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	chunk, _ := io.ReadAll(r.Body)
	if r.URL.Query().Get("n") == fmt.Sprint(e.taken+1) {
		e.taken++
		e.came <- chunk
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func serveEcho(t *testing.T) (*echo, string) {
	t.Helper()
	e := &echo{came: make(chan []byte, 100), end: make(chan string, 1)}
	server := httptest.NewServer(e)
	t.Cleanup(func() {
		server.Close()
		goleak.VerifyNone(t)
	})
	return e, server.URL
}

func TestTunnelCarriesBytesOnceAndInOrder(t *testing.T) {
	e, url := serveEcho(t)
	tunnel, err := device.DialTunnel(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tunnel.Close() }()
	var want []byte
	for i := range 300 {
		want = append(want, bytes.Repeat([]byte{byte(i)}, i)...)
	}
	go func() {
		for rest := want; len(rest) > 0; rest = rest[min(777, len(rest)):] {
			if _, err := tunnel.Write(rest[:min(777, len(rest))]); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(tunnel, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the echo differs, %v", err)
	}
	e.end <- "event: close\ndata: 4408\n\n"
	var closed *device.TunnelClosedError
	if _, err := tunnel.Read(got); !errors.As(err, &closed) || closed.Code != 4408 {
		t.Errorf("the tunnel ended with %v", err)
	}
}

func TestTunnelWithMissingBytesEnds(t *testing.T) {
	e, url := serveEcho(t)
	tunnel, err := device.DialTunnel(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tunnel.Close() }()
	e.end <- "id: 9\ndata: " + base64.StdEncoding.EncodeToString([]byte("behind")) + "\n\n"
	if n, err := tunnel.Read(make([]byte, 10)); err == nil {
		t.Errorf("%d bytes were read", n)
	}
}

func TestTunnelToNobody(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if _, err := device.DialTunnel(t.Context(), server.URL, nil); err == nil {
		t.Error("dialled")
	}
	nobody := device.Endpoint{MQTT: "127.0.0.1:1"}
	through, stop, err := nobody.ThroughTunnels(server.URL)
	if err != nil || through.MQTT == nobody.MQTT {
		t.Fatal(through, err)
	}
	defer stop()
	if _, _, err := device.Connect(t.Context(), through.MQTT, device.Options{Version: device.MQTT5}); err == nil {
		t.Error("connected")
	}
}
