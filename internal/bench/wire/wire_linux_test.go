package wire

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestSplit(t *testing.T) {
	long := append([]byte{0x30, 0x80, 0x01}, make([]byte, 128)...)
	tests := []struct {
		name  string
		in    []byte
		size  int
		fails bool
	}{
		{"nothing", nil, 0, false},
		{"half a header", []byte{0x40}, 0, false},
		{"half a length", []byte{0x30, 0x80}, 0, false},
		{"half a body", []byte{0x40, 2, 0}, 0, false},
		{"whole", []byte{0x40, 2, 0, 1}, 4, false},
		{"whole and more", []byte{0x40, 2, 0, 1, 0x40}, 4, false},
		{"without a body", []byte{0xd0, 0}, 2, false},
		{"long", long, len(long), false},
		{"length of five bytes", []byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x01}, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, size, err := split(tt.in)
			if size != tt.size || (err != nil) != tt.fails {
				t.Errorf("split: %d, %v; want %d", size, err, tt.size)
			}
		})
	}
}

// broker is a listener whose first connection is played by play.
func broker(t *testing.T, play func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	played := make(chan struct{})
	go func() {
		defer close(played)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		play(c)
	}()
	t.Cleanup(func() {
		l.Close()
		<-played
	})
	return l.Addr().String()
}

// expect reads a packet of kind, and answers.
func expect(t *testing.T, c net.Conn, kind byte, answer ...byte) {
	t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Error(err)
		return
	}
	if head[0]>>4 != kind {
		t.Errorf("the client sent a packet of kind %d, want %d", head[0]>>4, kind)
	}
	if _, err := io.CopyN(io.Discard, c, int64(head[1])); err != nil {
		t.Error(err)
	}
	if _, err := c.Write(answer); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	addr := broker(t, func(c net.Conn) { expect(t, c, 1, 0x20, 2, 0, 5) })
	c, err := Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Connect(Login{ClientID: "x", Password: "y"}, true); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Connect: %v", err)
	}
}

// heard writes down what a Loop tells.
type heard struct {
	connected int
	acked     []uint16
	payloads  []string
}

func (h *heard) Connected()             { h.connected++ }
func (h *heard) Acknowledged(id uint16) { h.acked = append(h.acked, id) }
func (h *heard) Delivered(p []byte)     { h.payloads = append(h.payloads, string(p)) }

func TestLoop(t *testing.T) {
	publish := []byte{0x32, 8, 0, 1, 't', 0, 9, 'a', 'b', 'c'}
	addr := broker(t, func(c net.Conn) {
		expect(t, c, 1, 0x20, 2, 0, 0)
		expect(t, c, 8, append([]byte{0x90, 3, 0, 1, 1}, publish[:5]...)...) // the beginning of a delivery comes with the answer
		if _, err := c.Write(publish[5:]); err != nil {
			t.Error(err)
		}
		expect(t, c, 4)                // its PUBACK
		expect(t, c, 3, 0x40, 2, 0, 7) // our PUBLISH
		_, _ = io.Copy(io.Discard, c)
	})
	c, err := Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(Login{ClientID: "x"}, true); err != nil {
		t.Fatal(err)
	}
	if err := c.Subscribe("t"); err != nil {
		t.Fatal(err)
	}
	loop, err := NewLoop()
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	h := &heard{}
	if err := loop.Add(c, h); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	sent := false
	err = loop.Run(ctx, func(time.Time) (time.Duration, bool) {
		if len(h.payloads) == 1 && !sent {
			sent = true
			loop.Send(c, []byte{0x32, 5, 0, 1, 't', 0, 7})
		}
		return time.Hour, len(h.acked) > 0
	})
	if err != nil || len(h.payloads) != 1 || h.payloads[0] != "abc" || h.acked[0] != 7 {
		t.Errorf("Run: %v, heard %+v", err, h)
	}
}

func TestLoopTellsOfAClosedConnection(t *testing.T) {
	addr := broker(t, func(c net.Conn) {
		_, _ = io.ReadFull(c, make([]byte, 1<<20)) // more than the sockets hold, so that the loop must wait for room
	})
	c, err := Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	loop, err := NewLoop()
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	if err := loop.Add(c, &heard{}); err != nil {
		t.Fatal(err)
	}
	loop.Send(c, bytes.Repeat([]byte{0xc0, 0}, 8<<20))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = loop.Run(ctx, func(time.Time) (time.Duration, bool) { return time.Hour, false })
	if err == nil || ctx.Err() != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestWebSocket(t *testing.T) {
	addr := broker(t, func(c net.Conn) {
		var request []byte
		for !bytes.HasSuffix(request, []byte("\r\n\r\n")) {
			b := make([]byte, 1)
			if _, err := io.ReadFull(c, b); err != nil {
				t.Error(err)
				return
			}
			request = append(request, b...)
		}
		if !bytes.HasPrefix(request, []byte("GET /mqtt ")) {
			t.Errorf("the client asked %q", request)
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		frame := make([]byte, 6) // head and key of a short one
		if _, err := io.ReadFull(c, frame); err != nil || frame[0] != 0x82 || frame[1]&0x80 == 0 {
			t.Errorf("frame % x, %v", frame, err)
		}
		expect(t, c, 1, 0x82, 4, 0x20, 2, 0, 0)
		_, _ = io.Copy(io.Discard, c)
	})
	c, err := DialWebSocket(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Connect(Login{ClientID: "x"}, true); err != nil {
		t.Error(err)
	}
}
