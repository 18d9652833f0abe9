//go:build unix

package broker

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// intakeOf returns how to read from c.
func intakeOf(c net.Conn) intake {
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			in := &socketIntake{raw: raw}
			in.attempt = in.read
			return in
		}
	}
	return holdingIntake{c}
}

// socketIntake waits for the socket first and borrows a buffer then.
type socketIntake struct {
	raw     syscall.RawConn
	attempt func(fd uintptr) bool // read, made once
	got     *buffer
	err     error
}

func (in *socketIntake) next() (*buffer, error) {
	in.got, in.err = nil, nil
	if err := in.raw.Read(in.attempt); err != nil {
		return nil, err
	}
	return in.got, in.err
}

// read tries once, and reports false if there is nothing yet.
func (in *socketIntake) read(fd uintptr) bool {
	b := borrow()
	n, err := syscall.Read(int(fd), b.space[:])
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Read(int(fd), b.space[:])
	}
	switch {
	case n > 0:
		b.rest = b.space[:n]
		in.got = b
		return true
	case errors.Is(err, syscall.EAGAIN):
		b.giveBack()
		return false
	case err == nil:
		in.err = io.EOF
	default:
		in.err = os.NewSyscallError("read", err)
	}
	b.giveBack()
	return true
}
