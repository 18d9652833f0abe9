package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// upgradeRequest opens a WebSocket for MQTT; the key is the one of RFC 6455's
// example, since nobody here looks at the answer to it.
const upgradeRequest = "GET /mqtt HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

// DialWebSocket connects to path /mqtt of an HTTP server of this machine. The
// connection can log in, subscribe and stay; a Loop does not take it.
func DialWebSocket(addr string) (*Conn, error) {
	c, err := Dial(addr)
	if err != nil {
		return nil, err
	}
	if err := c.upgrade(addr); err != nil {
		c.Close()
		return nil, fmt.Errorf("open WebSocket at %s: %w", addr, err)
	}
	return c, nil
}

func (c *Conn) upgrade(addr string) error {
	if err := c.send(fmt.Appendf(nil, upgradeRequest, addr)); err != nil {
		return err
	}
	for {
		if head, rest, ok := bytes.Cut(c.in, []byte("\r\n\r\n")); ok {
			if !bytes.HasPrefix(head, []byte("HTTP/1.1 101")) {
				return fmt.Errorf("the server answered %q", head[:min(len(head), 40)])
			}
			c.in, c.websocket = rest, true
			return nil
		}
		if err := c.receive(); err != nil {
			return err
		}
	}
}

// appendFrame appends a final binary frame, masked as clients must, with the
// key 0, which leaves the payload as it is.
func appendFrame(b, payload []byte) []byte {
	const final, binaryFrame, masked, short, two = 0x80, 0x02, 0x80, 126, 126
	b = append(b, final|binaryFrame)
	if len(payload) < short {
		b = append(b, masked|byte(len(payload)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, masked|two), uint16(len(payload)))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// receiveFrame reads one short frame. The answers to CONNECT and SUBSCRIBE are
// shorter than 126 bytes and come one by one.
func (c *Conn) receiveFrame() error {
	var head [2]byte
	if err := c.readFull(head[:]); err != nil {
		return err
	}
	if head[1] >= 126 {
		return fmt.Errorf("received a WebSocket frame with length byte %d", head[1])
	}
	payload := make([]byte, head[1])
	if err := c.readFull(payload); err != nil {
		return err
	}
	c.in = append(c.in, payload...)
	return nil
}

func (c *Conn) readFull(p []byte) error {
	for len(p) > 0 {
		n, err := c.read(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
