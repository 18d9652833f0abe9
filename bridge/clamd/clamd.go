// Package clamd asks the virus scanner ClamAV whether a file is infected.
package clamd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/parley-chat/parley"
)

// Scanner asks a clamd that listens on a socket. All methods are safe for concurrent
// use.
type Scanner struct {
	network, address string
	limit            time.Duration
}

// New returns a Scanner for clamd at "tcp:HOST:PORT" or "unix:PATH", which has limit
// for one file. It does not connect.
func New(address string, limit time.Duration) (*Scanner, error) {
	network, address, _ := strings.Cut(address, ":")
	switch {
	case network == "unix" && address != "":
	case network == "tcp":
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("the address of clamd: %w", err)
		}
	default:
		return nil, errors.New("the address of clamd is tcp:HOST:PORT or unix:PATH")
	}
	return &Scanner{network, address, limit}, nil
}

const chunk = 64 << 10

// Scan reads r to its end. It fails with CodeForbidden when the file is infected, and
// with CodeUnavailable when that cannot be said: clamd is not there, does not answer
// in time, or does not take a file that large. Errors of r come back wrapped.
func (s *Scanner) Scan(ctx context.Context, r io.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, s.network, s.address)
	if err != nil {
		return unavailable(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // also when the caller gives up
	defer stop()
	sent, readErr := send(conn, r)
	if readErr != nil {
		return fmt.Errorf("read the file: %w", readErr)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 1<<10))
	if text := string(bytes.TrimRight(answer, "\x00\n")); text != "" { // clamd may have said why it does not read on
		return verdict(text)
	}
	return unavailable(errors.Join(sent, err, errors.New("clamd did not answer")))
}

// send streams the file. sent is why not all of it could be.
func send(conn net.Conn, r io.Reader) (sent, readErr error) {
	if _, err := conn.Write([]byte("zINSTREAM\x00")); err != nil {
		return err, nil
	}
	frame := make([]byte, 4+chunk)
	for {
		n, err := io.ReadFull(r, frame[4:])
		binary.BigEndian.PutUint32(frame, uint32(n))
		if n > 0 {
			if _, err := conn.Write(frame[:4+n]); err != nil {
				return err, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			_, err := conn.Write([]byte{0, 0, 0, 0})
			return err, nil
		case err != nil:
			return nil, err
		}
	}
}

func verdict(answer string) error {
	switch {
	case answer == "stream: OK":
		return nil
	case strings.HasSuffix(answer, " FOUND"):
		return parley.Errorf(parley.CodeForbidden, "the virus scanner says that this file is infected; it was not stored")
	}
	return unavailable(fmt.Errorf("clamd says %q", answer))
}

func unavailable(err error) error {
	return fmt.Errorf("%w: %w", parley.Errorf(parley.CodeUnavailable, "the virus scanner cannot be asked now; try again"), err)
}
