package proxy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Terminator ends TLS in front of a server that does not speak it, under a
// certificate made for the occasion. Its methods are safe for concurrent use.
type Terminator struct {
	target     string
	listener   net.Listener
	roots      *x509.CertPool
	handshakes atomic.Int64
	running    sync.WaitGroup
}

const (
	handshakeLimit = 20 * time.Second
	sources        = 8 // addresses to dial from, 127.0.0.2 and following: each has ports of its own
	passed         = 4 << 10
)

// Terminate listens for TLS on a free port of the loopback interface and passes
// what is inside on to target, until ctx ends. A connection whose target cannot
// be reached is closed after the handshake, as by servers that are made for it.
func Terminate(ctx context.Context, target string) (*Terminator, error) {
	certificate, roots, err := selfSigned()
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	plain, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for TLS: %w", err)
	}
	t := &Terminator{
		target: target, roots: roots,
		listener: tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}),
	}
	context.AfterFunc(ctx, func() { plain.Close() })
	t.running.Go(func() { t.accept(ctx) })
	return t, nil
}

// Addr is where clients connect, host and port.
func (t *Terminator) Addr() string { return t.listener.Addr().String() }

// Client is how clients connect. They keep no session tickets: each connection
// pays for a whole handshake.
func (t *Terminator) Client() *tls.Config {
	return &tls.Config{RootCAs: t.roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}
}

// Handshakes is how many were made.
func (t *Terminator) Handshakes() int64 { return t.handshakes.Load() }

// Wait returns when ctx has ended and every connection with it.
func (t *Terminator) Wait() { t.running.Wait() }

func (t *Terminator) accept(ctx context.Context) {
	for n := 0; ; n++ {
		client, err := t.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors; some connection will end
			time.Sleep(10 * time.Millisecond)
			continue
		}
		t.running.Go(func() { t.serve(ctx, client.(*tls.Conn), n) })
	}
}

func (t *Terminator) serve(ctx context.Context, client *tls.Conn, n int) {
	defer func() { _ = client.Close() }() // says good-bye, which may not arrive
	patience, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	if client.HandshakeContext(patience) != nil {
		return
	}
	t.handshakes.Add(1)
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+n%sources))}}
	server, err := from.DialContext(patience, "tcp", t.target)
	if err != nil {
		return
	}
	defer server.Close()
	stop := context.AfterFunc(ctx, func() { client.NetConn().Close() })
	defer stop()
	t.running.Go(func() {
		defer client.NetConn().Close() // at once, with no word that may block
		pass(client, server)
	})
	pass(server, client)
}

// pass copies until either side ends, with a small buffer of its own: there are
// thousands of them.
func pass(to io.Writer, from io.Reader) {
	type (
		writer struct{ io.Writer }
		reader struct{ io.Reader }
	)
	_, _ = io.CopyBuffer(writer{to}, reader{from}, make([]byte, passed)) // the end is an end, whatever its reason
}

// selfSigned makes a certificate for 127.0.0.1 that is its own root.
func selfSigned() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots, nil
}
