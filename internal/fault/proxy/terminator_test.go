package proxy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/parley-chat/parley/internal/fault/proxy"
)

// TestTerminator says something over TLS to a server, which answers, and hears the
// end when that has gone.
func TestTerminator(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front, err := proxy.Terminate(ctx, listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer front.Wait()
	defer cancel()
	client, err := tls.Dial("tcp", front.Addr(), front.Client())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if err := client.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	heard := make([]byte, len("hello"))
	for _, way := range []struct {
		from io.Writer
		to   io.Reader
	}{{client, server}, {server, client}} {
		if _, err := io.WriteString(way.from, "hello"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(way.to, heard); err != nil || string(heard) != "hello" {
			t.Errorf("heard %q, %v", heard, err)
		}
	}
	server.Close()
	listener.Close()
	if _, err := client.Read(heard); err == nil {
		t.Error("the server has gone and the client is not told")
	}
	again, err := tls.Dial("tcp", front.Addr(), front.Client())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	_ = again.SetDeadline(time.Now().Add(10 * time.Second)) // fails only on a closed socket
	var timeout net.Error
	if _, err := again.Read(heard); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("a connection to nobody: %v", err)
	}
	if n := front.Handshakes(); n != 2 {
		t.Errorf("%d handshakes, want 2", n)
	}
}
