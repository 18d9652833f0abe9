//go:build unix

package broker

import (
	"errors"
	"io"
	"math"
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

// now returns what has come in already, nil if there is nothing yet or never will be.
func (in *socketIntake) now() *buffer {
	in.got, in.err = nil, nil
	err := in.raw.Read(func(fd uintptr) bool {
		in.read(fd)
		return true
	})
	if err != nil {
		return nil
	}
	return in.got // an error comes again with the next read
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

// mostFiles is how many files and sockets the process may have open.
func mostFiles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || uint64(l.Cur) > math.MaxInt32 { //nolint:unconvert // signed on some systems
		return math.MaxInt32
	}
	return int(l.Cur) //nolint:unconvert // as above
}
