package device

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// ConnectWebSocket is Connect over a WebSocket at addr, host and port, without TLS.
func ConnectWebSocket(ctx context.Context, addr string, o Options) (c *Conn, sessionPresent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.patience())
	defer cancel()
	var dialer net.Dialer
	socket, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, false, fmt.Errorf("dial: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	ws, err := upgrade(socket, addr)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		socket.Close()
		return nil, false, fmt.Errorf("upgrade to WebSocket: %w", err)
	}
	return shakeHands(ctx, socket, ws, o)
}

// webSocket is a stream of the bytes in binary frames. What else may come is an
// error, the end too.
type webSocket struct {
	net.Conn
	reader *bufio.Reader
	rest   uint64 // of the frame that is being read
}

func upgrade(socket net.Conn, addr string) (*webSocket, error) {
	_, err := fmt.Fprintf(socket, "GET /mqtt HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", addr)
	if err != nil {
		return nil, err
	}
	ws := &webSocket{Conn: socket, reader: bufio.NewReader(socket)}
	answer, err := http.ReadResponse(ws.reader, nil)
	if err != nil {
		return nil, err
	}
	answer.Body.Close() // there is none
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, errors.New(answer.Status)
	}
	return ws, nil
}

const (
	wholeBinary  = 0x82
	masked       = 0x80
	length16     = 126
	length64     = 127
	lengthOfMask = 4
)

// Write sends p as one frame, under a mask of zeros.
func (ws *webSocket) Write(p []byte) (int, error) {
	frame := []byte{wholeBinary}
	switch n := len(p); {
	case n < length16:
		frame = append(frame, masked|byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, masked|length16), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, masked|length64), uint64(n))
	}
	frame = append(append(frame, make([]byte, lengthOfMask)...), p...)
	if _, err := ws.Conn.Write(frame); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Read reads from the present frame, or from the next one.
func (ws *webSocket) Read(p []byte) (int, error) {
	for ws.rest == 0 {
		if err := ws.next(); err != nil {
			return 0, err
		}
	}
	n, err := ws.reader.Read(p[:min(uint64(len(p)), ws.rest)])
	ws.rest -= uint64(n)
	return n, err
}

func (ws *webSocket) next() error {
	var head [2]byte
	if _, err := io.ReadFull(ws.reader, head[:]); err != nil {
		return err
	}
	if head[0] != wholeBinary {
		return fmt.Errorf("a frame that begins with %#x", head[0])
	}
	long := map[byte]int{length16: 2, length64: 8}[head[1]]
	if long == 0 {
		ws.rest = uint64(head[1])
		return nil
	}
	var length [8]byte
	_, err := io.ReadFull(ws.reader, length[8-long:])
	ws.rest = binary.BigEndian.Uint64(length[:])
	return err
}
