package device_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/internal/fault/device"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is a server that reads one packet, says a few bytes and hangs up.
func answer(t *testing.T, bytes string) (addr string, got <-chan []byte) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets := make(chan []byte, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		head, err := r.Peek(2) // every packet here is below 128 bytes
		if err != nil {
			return
		}
		packet := make([]byte, 2+int(head[1]))
		if _, err := io.ReadFull(r, packet); err != nil {
			return
		}
		packets <- packet
		if bytes == "" {
			_, _ = io.Copy(io.Discard, c) // says nothing until the client goes
			return
		}
		_, _ = io.WriteString(c, bytes) // the client tells if it did not come
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String(), packets
}

func TestConnect(t *testing.T) {
	tests := []struct {
		name    string
		version byte
		answer  string
		reason  byte // of the refusal
		fails   bool
		present bool
	}{
		{name: "3.1.1 accepted", version: device.MQTT311, answer: "\x20\x02\x00\x00"},
		{name: "3.1.1 session present", version: device.MQTT311, answer: "\x20\x02\x01\x00", present: true},
		{name: "3.1.1 bad password", version: device.MQTT311, answer: "\x20\x02\x00\x04", reason: 4, fails: true},
		{name: "5 accepted", version: device.MQTT5, answer: "\x20\x03\x00\x00\x00"},
		{name: "5 bad password", version: device.MQTT5, answer: "\x20\x03\x00\x86\x00", reason: 0x86, fails: true},
		{name: "5 with properties", version: device.MQTT5, answer: "\x20\x06\x00\x00\x03\x21\x00\x40"},
		{name: "not a CONNACK", version: device.MQTT5, answer: "\xd0\x00", fails: true},
		{name: "cut off", version: device.MQTT5, answer: "\x20\x03\x00", fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr, got := answer(t, tt.answer)
			c, present, err := device.Connect(t.Context(), addr, device.Options{
				Version: tt.version, ClientID: "vis_1.dev_1", Password: "token",
			})
			if (err != nil) != tt.fails {
				t.Fatalf("Connect: %v", err)
			}
			if err == nil {
				defer c.Close()
			}
			if present != tt.present {
				t.Errorf("session present is %v", present)
			}
			var refused *device.RefusedError
			if errors.As(err, &refused) != (tt.reason != 0) || refused != nil && refused.Reason != tt.reason {
				t.Errorf("Connect: %v, want reason %#x", err, tt.reason)
			}
			if packet := <-got; packet[0] != 0x10 || packet[8] != tt.version {
				t.Errorf("sent % x, want a CONNECT of version %d", packet, tt.version)
			}
		})
	}
}

func TestConnectGivesUp(t *testing.T) {
	addr, _ := answer(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := device.Connect(ctx, addr, device.Options{Version: device.MQTT5, ClientID: "vis_1.dev_1"}); err == nil {
		t.Error("connected to a server that says nothing")
	}
}
