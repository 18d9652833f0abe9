package clamd_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/clamd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eicar is the file that every scanner calls infected, in two pieces so that none
// finds it here.
const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-` + `STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

// fake is a clamd that finds eicar. mood changes what it does.
type fake struct {
	mu   sync.Mutex
	mood string
	got  []byte // the last file
}

func start(t *testing.T, network, address string) (*fake, string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				f.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		group.Wait()
	})
	return f, network + ":" + l.Addr().String()
}

func (f *fake) serve(conn net.Conn) {
	f.mu.Lock()
	mood := f.mood
	f.mu.Unlock()
	if mood == "hangs up" {
		return
	}
	command := make([]byte, len("zINSTREAM\x00"))
	if _, err := io.ReadFull(conn, command); err != nil || string(command) != "zINSTREAM\x00" {
		return
	}
	var file []byte
	for {
		var length uint32
		if binary.Read(conn, binary.BigEndian, &length) != nil {
			return
		}
		if length == 0 {
			break
		}
		if mood == "too large" {
			_, _ = io.WriteString(conn, "INSTREAM size limit exceeded. ERROR\x00")
			return
		}
		piece := make([]byte, length)
		if _, err := io.ReadFull(conn, piece); err != nil {
			return
		}
		file = append(file, piece...)
	}
	if mood == "slow" {
		_, _ = io.Copy(io.Discard, conn) // until the other side has enough
		return
	}
	f.mu.Lock()
	f.got = file
	f.mu.Unlock()
	answer := "stream: OK\x00"
	if bytes.Contains(file, []byte(eicar)) {
		answer = "stream: Eicar-Test-Signature FOUND\x00"
	}
	_, _ = io.WriteString(conn, answer)
}

func (f *fake) be(mood string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mood = mood
}

func scan(t *testing.T, address string, limit time.Duration, file string) error {
	t.Helper()
	s, err := clamd.New(address, limit)
	if err != nil {
		t.Fatal(err)
	}
	return s.Scan(t.Context(), strings.NewReader(file))
}

func expect(t *testing.T, what string, err error, code parley.Code) {
	t.Helper()
	if err == nil || parley.ErrorOf(err).Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func TestScan(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		address := "127.0.0.1:0"
		if network == "unix" {
			address = filepath.Join(t.TempDir(), "clamd.sock")
		}
		f, where := start(t, network, address)
		for _, file := range []string{"", "x", strings.Repeat("0123456789", 30_000)} {
			if err := scan(t, where, 10*time.Second, file); err != nil || string(f.got) != file {
				t.Errorf("%s: %d bytes, %d came: %v", network, len(file), len(f.got), err)
			}
		}
		expect(t, "infected", scan(t, where, 10*time.Second, strings.Repeat("x", 100_000)+eicar), parley.CodeForbidden)
	}
}

func TestNoAnswer(t *testing.T) {
	f, where := start(t, "tcp", "127.0.0.1:0")
	large := strings.Repeat("x", 20<<20)
	for _, mood := range []string{"hangs up", "too large", "slow"} {
		f.be(mood)
		expect(t, mood, scan(t, where, 300*time.Millisecond, large), parley.CodeUnavailable)
		expect(t, mood, scan(t, where, 300*time.Millisecond, eicar), parley.CodeUnavailable)
	}
	expect(t, "nobody there", scan(t, "unix:"+filepath.Join(t.TempDir(), "none"), time.Second, "x"), parley.CodeUnavailable)
	f.be("slow")
	s, err := clamd.New(where, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	expect(t, "the caller gives up", s.Scan(ctx, strings.NewReader("x")), parley.CodeUnavailable)
	f.be("")
	broken := errors.New("broken")
	if err := s.Scan(t.Context(), io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for _, address := range []string{"", "tcp", "tcp:", "tcp:localhost", "unix:", "http://localhost:3310", "localhost:3310"} {
		if _, err := clamd.New(address, time.Second); err == nil {
			t.Errorf("%q is an address", address)
		}
	}
}
