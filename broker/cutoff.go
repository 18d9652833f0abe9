package broker

import (
	"context"
	"net"
	"time"
)

// lastWords is how long what was written before the right to it ended may still be
// on its way.
const lastWords = 300 * time.Millisecond

// cutOff ends the connection of a client that has lost the right to what is on its
// way to it: what it has not taken within lastWords is thrown away, and not left to
// the kernel, which would deliver megabytes to whoever begins to read a minute later.
func cutOff(c net.Conn) error {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return c.Close()
	}
	err := t.CloseWrite()
	_ = t.SetReadDeadline(time.Unix(1, 0)) // wakes who reads
	reset(t)
	return err
}

// reset closes a connection when lastWords have passed, with all that is on its way.
func reset(t *net.TCPConn) {
	time.AfterFunc(lastWords, func() {
		_ = t.SetLinger(0)
		_ = t.Close()
	})
}

type socketKey struct{}

// ConnContext is for the http.Server of Handler: it lets a tunnel know the
// connection that its down stream goes through. Without it, a device that is signed
// out may still read what the kernel holds for it.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, socketKey{}, c)
}

// cutOffDown is cutOff for the connection of a tunnel's down stream, which the
// http.Server closes otherwise.
func cutOffDown(ctx context.Context) {
	if t, ok := ctx.Value(socketKey{}).(*net.TCPConn); ok {
		reset(t)
	}
}
