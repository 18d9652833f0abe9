package broker

import (
	"encoding/binary"
	"net"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of the Linux API, which package syscall
// does not name.
const tcpUserTimeout = 0x12

// keepAliveTCP makes the kernel find out within 90 s that the peer of an idle
// or of a stuck connection is gone, whatever keep alive the client chose.
func keepAliveTCP(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3})
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, 60_000)
	})
}

// tcpEstablished is the state of a connection that neither side has ended.
const tcpEstablished = 1

// gone reports whether the peer is known to have ended the connection, though
// nobody has read that far.
func gone(c net.Conn) bool {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return true
	}
	state := tcpEstablished
	_ = raw.Control(func(fd uintptr) {
		if info, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO); err == nil {
			state = int(firstByte(info))
		}
	})
	return state != tcpEstablished
}

// firstByte returns the byte of x that comes first in memory.
func firstByte(x int) byte {
	var b [8]byte
	binary.NativeEndian.PutUint32(b[:], uint32(x))
	return b[0]
}
