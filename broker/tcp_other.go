//go:build !linux

package broker

import (
	"net"
	"time"
)

// keepAliveTCP makes the kernel find out that the peer of an idle connection is
// gone, whatever keep alive the client chose.
func keepAliveTCP(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3})
	}
}

// gone reports whether the peer is known to have ended the connection.
func gone(net.Conn) bool { return false }
