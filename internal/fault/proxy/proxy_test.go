package proxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/internal/fault/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 5 * time.Second

// origin is a server that keeps what it receives and answers every byte with
// the same byte.
type origin struct {
	net.Listener
	received chan []byte // one slice for each connection, when it ends
}

func startOrigin(t *testing.T) *origin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{ln, make(chan []byte, 16)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go o.echo(c)
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return o
}

func (o *origin) echo(c net.Conn) {
	defer c.Close()
	var got bytes.Buffer
	_, _ = io.Copy(c, io.TeeReader(c, &got)) // ends with the connection, however it ends
	o.received <- got.Bytes()
}

func (o *origin) expectReceived(t *testing.T, want []byte) {
	t.Helper()
	select {
	case got := <-o.received:
		if !bytes.Equal(got, want) {
			t.Errorf("server received %d bytes %.40q, want %d bytes %.40q", len(got), got, len(want), want)
		}
	case <-time.After(patience):
		t.Fatal("the server's connection did not end")
	}
}

func start(t *testing.T) (*origin, *proxy.Proxy) {
	t.Helper()
	o := startOrigin(t)
	p, err := proxy.Listen(t.Context(), o.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return o, p
}

func dial(t *testing.T, p *proxy.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func expectSilence(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v; want nothing", n, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
}

func expectReset(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("the connection ended with %v, want a reset", err)
	}
}

func TestForwardsBothWays(t *testing.T) {
	o, p := start(t)
	c := dial(t, p)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() { _, _ = c.Write(big) }() // expect tells if it failed
	expect(t, c, string(big))
	c.Close()
	o.expectReceived(t, big)
	if p.Accepted() != 1 {
		t.Errorf("accepted %d connections, want 1", p.Accepted())
	}
}

func TestPulledCable(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	send(t, c, "before ")
	expect(t, c, "before ")

	p.Freeze()
	p.Freeze()
	if !p.Frozen() {
		t.Error("not frozen")
	}
	send(t, c, "meanwhile")
	expectSilence(t, c)
	late := dial(t, p) // a new connection is accepted, and dead too
	send(t, late, "hello")
	expectSilence(t, late)

	p.Heal()
	p.Heal()
	expect(t, c, "meanwhile")
	expect(t, late, "hello")
}

func TestPulledCableHidesTheEnd(t *testing.T) {
	o, p := start(t)
	c := dial(t, p)
	send(t, c, "x")
	expect(t, c, "x")
	p.Freeze()
	c.Close()
	select {
	case <-o.received:
		t.Fatal("the server saw the end through a pulled cable")
	case <-time.After(50 * time.Millisecond):
	}
	p.Heal()
	o.expectReceived(t, []byte("x"))
}

func TestCut(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	send(t, c, "x")
	expect(t, c, "x")
	p.Cut()
	expectReset(t, c)
	again := dial(t, p)
	send(t, again, "y")
	expect(t, again, "y")
}

func TestCutAfterBytes(t *testing.T) {
	o, p := start(t)
	c := dial(t, p)
	p.CutAfter(3)
	send(t, c, "ab")
	expect(t, c, "ab")
	send(t, c, "cdef")
	expectReset(t, c)
	o.expectReceived(t, []byte("abc"))
	again := dial(t, p) // one cut for each arming
	send(t, again, "0123456789")
	expect(t, again, "0123456789")
}

func TestCutAfterPublish(t *testing.T) {
	connect := "\x10\x02ab"
	long := append([]byte{0x32, 0x80, 0x02}, bytes.Repeat([]byte{0x30}, 256)...) // two length bytes, a body that looks like headers
	ping := "\xc0\x00"
	for _, tt := range []struct {
		name   string
		pieces int // how many bytes each write has
	}{{"in one write", 1 << 20}, {"byte by byte", 1}, {"in pieces", 7}} {
		t.Run(tt.name, func(t *testing.T) {
			o, p := start(t)
			c := dial(t, p)
			send(t, c, connect)
			expect(t, c, connect)
			p.CutAfterPublish()
			send(t, c, ping)
			expect(t, c, ping)
			stream := append(bytes.Clone(long), ping...)
			var err error
			for err == nil && len(stream) > 0 {
				n := min(tt.pieces, len(stream))
				_, err = c.Write(stream[:n])
				stream = stream[n:]
			}
			// The reset shows in the write or, after the echo of the beginning, in the read.
			if err == nil {
				_, err = io.Copy(io.Discard, c)
			}
			if err == nil {
				t.Error("the connection ended without a reset")
			}
			o.expectReceived(t, append([]byte(connect+ping), long...))
		})
	}
}

func TestLatency(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	send(t, c, "x")
	expect(t, c, "x")
	const each = 40 * time.Millisecond
	p.SetLatency(each)
	begin := time.Now()
	send(t, c, "y")
	expect(t, c, "y")
	if took := time.Since(begin); took < 2*each {
		t.Errorf("the round trip took %v, want at least %v", took, 2*each)
	}
}

func TestServerIsDown(t *testing.T) {
	o, p := start(t)
	o.Close()
	c, err := net.Dial("tcp", p.Addr())
	if err == nil {
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v, want a reset", err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	send(t, c, "x")
	expect(t, c, "x")
	p.Freeze()
	frozen := dial(t, p)
	p.Close()
	p.Close()
	expectReset(t, c)
	expectReset(t, frozen)
}
