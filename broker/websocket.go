package broker

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// WebSocket close codes of the protocol page.
const (
	closeBadClient    = 4400
	closeUnauthorized = 4401
	closeTakenOver    = 4408
	closeTooMany      = 4429
	closeGoingAway    = websocket.CloseGoingAway
	closeFault        = websocket.CloseInternalServerErr
)

const (
	readAhead        = 512 // of reading; bigger frames are read past it
	writeBuffer      = 1 << 10
	closeFrameTime   = 200 * time.Millisecond
	handshakeTimeout = 5 * time.Second
)

// writeBuffers are lent to WebSockets while they write, so that idle ones hold
// none.
var writeBuffers = &sync.Pool{}

var errNotBinary = errors.New("websocket frame is not binary")

// upgrade turns a request into an MQTT connection, which counts as one of the
// request's RemoteAddr.
func (b *Broker) upgrade(w http.ResponseWriter, r *http.Request) {
	u := websocket.Upgrader{
		Subprotocols: []string{"mqtt"}, HandshakeTimeout: handshakeTimeout,
		ReadBufferSize: readAhead, WriteBufferSize: writeBuffer, WriteBufferPool: writeBuffers,
		CheckOrigin: func(r *http.Request) bool { return b.mayUpgrade(r) },
	}
	if !speaksMQTT(r) {
		http.Error(w, "this is an MQTT endpoint: open a WebSocket with the sub-protocol mqtt", http.StatusBadRequest)
		return
	}
	ws, err := u.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	c := b.wrap(ws.UnderlyingConn())
	f := &frames{Conn: ws.UnderlyingConn(), ws: ws}
	c.Conn, c.intake = f, f
	c.network, c.origin = networkAt(r.RemoteAddr), foreignOrigin(r)
	c.closeWith = func(code int) { sayGoodbye(ws, code) }
	b.serve(c)
}

func speaksMQTT(r *http.Request) bool {
	for _, p := range websocket.Subprotocols(r) {
		if p == "mqtt" {
			return true
		}
	}
	return false
}

func (b *Broker) mayUpgrade(r *http.Request) bool {
	origin := foreignOrigin(r)
	return origin == "" || b.options.AllowOrigin(r.Context(), "", origin)
}

// mayConnect asks again when the site is known.
func (b *Broker) mayConnect(ctx context.Context, site string, c *conn) bool {
	return c.origin == "" || b.options.AllowOrigin(ctx, site, c.origin)
}

// foreignOrigin returns the request's Origin unless it is the server's own
// host. Clients that are not web pages send none.
func foreignOrigin(r *http.Request) string {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return ""
	}
	u, err := url.Parse(origin)
	if err == nil && strings.EqualFold(u.Host, r.Host) {
		return ""
	}
	return origin
}

func sayGoodbye(ws *websocket.Conn, code int) {
	if code == 0 {
		return
	}
	_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(closeFrameTime))
}

// frames reads and writes MQTT bytes as binary WebSocket frames. Where packets
// begin has nothing to do with where frames begin.
type frames struct {
	net.Conn
	ws      *websocket.Conn
	current io.Reader
}

// next waits for a frame, and returns what there is of it.
func (f *frames) next() (*buffer, error) {
	for {
		if f.current == nil {
			kind, r, err := f.ws.NextReader()
			if err != nil {
				return nil, err
			}
			if kind != websocket.BinaryMessage {
				return nil, errNotBinary
			}
			f.current = r
		}
		b, err := readInto(f.current)
		if errors.Is(err, io.EOF) {
			f.current, err = nil, nil
		}
		if b != nil || err != nil {
			return b, err
		}
	}
}

func (f *frames) Write(p []byte) (int, error) {
	if err := f.ws.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *frames) SetReadDeadline(t time.Time) error  { return f.ws.SetReadDeadline(t) }
func (f *frames) SetWriteDeadline(t time.Time) error { return f.ws.SetWriteDeadline(t) }
