package broker_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
)

// wsConn makes a byte stream of a WebSocket, one frame for each write.
type wsConn struct {
	*websocket.Conn
	writing sync.Mutex
	rest    io.Reader
}

func (c *wsConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	return len(p), c.WriteMessage(websocket.BinaryMessage, p)
}

func (c *wsConn) Read(p []byte) (int, error) {
	for {
		if c.rest == nil {
			kind, r, err := c.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, fmt.Errorf("the server sent a frame of type %d", kind)
			}
			c.rest = r
		}
		n, err := c.rest.Read(p)
		if errors.Is(err, io.EOF) {
			c.rest, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// upgrade asks for a WebSocket. origin may be empty.
func (w *world) upgrade(origin string, protocols ...string) (*websocket.Conn, *http.Response, error) {
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	d := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: patience}
	return d.Dial("ws"+strings.TrimPrefix(w.http.URL, "http"), header)
}

func (w *world) dialWS(t *testing.T, origin string) *wsConn {
	t.Helper()
	ws, answer, err := w.upgrade(origin, "mqtt")
	must(t, err)
	_ = answer.Body.Close() // empty: the connection is the WebSocket's
	if p := ws.Subprotocol(); p != "mqtt" {
		t.Errorf("the sub-protocol is %q", p)
	}
	t.Cleanup(func() { _ = ws.Close() })
	return &wsConn{Conn: ws}
}

func (w *world) connectWS(t *testing.T, who parley.Credentials, l login) *client {
	t.Helper()
	return connectOn(t, w.dialWS(t, ""), who, l)
}

func (c *client) expectClose(code int) {
	c.t.Helper()
	var e *websocket.CloseError
	if err := c.ending(); !errors.As(err, &e) || e.Code != code {
		c.t.Errorf("the WebSocket ended with %v, want close code %d", err, code)
	}
}

func TestConversationOverWebSocket(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		page, app := w.connectWS(t, who, as(who, version)), w.connect(t, w.again(who), version)
		page.followMessages()
		app.followMessages()
		id := parley.NewID(parley.PrefixConversation)
		large := parley.NewText(draft().ID, fillBody(parley.MaxBodyBytes))
		all := append(drafts(10), large)
		for _, d := range all {
			page.expectAck(page.post(id, d))
		}
		page.expectTexts(id, idsOf(all))
		app.expectTexts(id, idsOf(all))
		page.ping()
	})
}

func TestUpgradeIsRefused(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name, origin string
		protocols    []string
		status       int
	}{
		{"no sub-protocol", "", nil, http.StatusBadRequest},
		{"another sub-protocol", "", []string{"mqttv3.1", "chat"}, http.StatusBadRequest},
		{"foreign origin", "https://evil.example", []string{"mqtt"}, http.StatusForbidden},
		{"sub-domain twin", "https://one.example.evil.example", []string{"mqtt"}, http.StatusForbidden},
		{"prefix twin", "https://evil-one.example", []string{"mqtt"}, http.StatusForbidden},
		{"other scheme", "http://one.example", []string{"mqtt"}, http.StatusForbidden},
		{"null origin", "null", []string{"mqtt"}, http.StatusForbidden},
		{"not a URL", "::", []string{"mqtt"}, http.StatusForbidden},
	} {
		t.Run(test.name, func(t *testing.T) {
			ws, answer, err := w.upgrade(test.origin, test.protocols...)
			if err == nil {
				_ = ws.Close()
				t.Fatal("upgraded")
			}
			defer answer.Body.Close()
			if answer.StatusCode != test.status {
				t.Errorf("status %d, want %d", answer.StatusCode, test.status)
			}
		})
	}
	answer, err := http.DefaultTransport.RoundTrip(mustRequest(t, w.http.URL))
	must(t, err)
	_ = answer.Body.Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a plain GET is answered with %d", answer.StatusCode)
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	return r
}

func TestOriginOfAnotherSiteIsRefusedAtLogin(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	for origin, refused := range map[string]bool{"https://one.example": false, "https://two.example": true, w.http.URL: false} {
		for version, code := range map[byte]byte{4: 5, 5: 0x87} {
			c, ack := tryOn(t, w.dialWS(t, origin), as(who, version))
			switch {
			case !refused && ack.ReasonCode != 0:
				t.Errorf("%s: CONNACK %#x", origin, ack.ReasonCode)
			case refused && ack.ReasonCode != code:
				t.Errorf("%s: CONNACK %#x, want %#x", origin, ack.ReasonCode, code)
			case refused:
				c.expectClose(4401)
			}
		}
	}
}

func TestCloseCodes(t *testing.T) {
	w := newWorld(t, recordFor(1))
	who := w.visitor()
	versions(t, func(t *testing.T, version byte) {
		t.Run("token refused", func(t *testing.T) {
			l := as(who, version)
			l.token = "not a token"
			c, _ := tryOn(t, w.dialWS(t, ""), l)
			c.expectClose(4401)
		})
		t.Run("taken over", func(t *testing.T) {
			older := w.connectWS(t, who, as(who, version))
			w.connectWS(t, who, as(who, version))
			older.expectClose(4408)
		})
		for name, bytes := range map[string][]byte{
			"QoS 2":          encode(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 2}, PacketID: 1, TopicName: "p1/x"}, version),
			"second CONNECT": encode(as(who, version).packet(), version),
			"not decodable":  {0x32, 0x04, 0xff, 0xff, 'a', 'b'},
			"no packet":      {0x00, 0x00},
			"too large":      {0x32, 0xff, 0xff, 0xff, 0x7f},
			"panic":          panicking,
		} {
			t.Run(name, func(t *testing.T) {
				if name == "panic" && version == 5 {
					w.panics++
				}
				c := w.connectWS(t, who, as(who, version))
				c.raw(bytes)
				c.expectClose(4400)
			})
		}
		t.Run("not CONNECT first", func(t *testing.T) {
			c := open(t, w.dialWS(t, ""), version)
			c.raw([]byte{0xc0, 0})
			c.expectClose(4400)
		})
		t.Run("text frame", func(t *testing.T) {
			conn := w.dialWS(t, "")
			c, _ := tryOn(t, conn, as(who, version))
			must(t, conn.WriteMessage(websocket.TextMessage, encode(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}}, version)))
			c.expectClose(4400)
			c.expectNone("a PINGRESP", func(pk packets.Packet) bool { return pk.FixedHeader.Type == packets.Pingresp })
		})
		t.Run("text frame before login", func(t *testing.T) {
			conn := w.dialWS(t, "")
			c := open(t, conn, version)
			must(t, conn.WriteMessage(websocket.TextMessage, encode(as(who, version).packet(), version)))
			c.expectClose(4400)
		})
		t.Run("store down", func(t *testing.T) {
			c := w.connectWS(t, who, as(who, version))
			w.store.fail()
			c.post("cnv_mine", draft())
			c.expectClose(1001)
			w.store.repair()
		})
	})
	c := w.connectWS(t, who, as(who, 5))
	w.restart()
	c.expectClose(1001)
}

func TestTooManyWebSocketsAreTurnedAway(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.MaxPending = 1 })
	c := open(t, w.dialWS(t, ""), 5)
	await(t, func() string {
		if n := w.broker.Pending(); n != 1 {
			return fmt.Sprintf("%d are waiting", n)
		}
		return ""
	})
	w.dialWS(t, "")
	c.expectClose(4429)
}

// Where packets begin has nothing to do with where frames begin.
func TestFramesAreNotPackets(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := parley.NewID(parley.PrefixConversation)
	topic := parley.ConversationTopic(parley.TopicSend, w.site.ID, id).String()
	all := drafts(20)
	stream := append(encode(as(who, 5).packet(), 5), burst(topic, all, 5)...)
	for name, size := range map[string]int{"a frame for each byte": 1, "frames of 7 bytes": 7, "one frame": len(stream)} {
		t.Run(name, func(t *testing.T) {
			c := open(t, w.dialWS(t, ""), 5)
			for rest := stream; len(rest) > 0; rest = rest[min(size, len(rest)):] {
				c.raw(rest[:min(size, len(rest))])
			}
			for i := range all {
				c.expectAck(uint16(i + 1))
			}
		})
	}
	if n := len(w.texts(id)); n != len(all) {
		t.Errorf("%d stored", n)
	}
}

// A frame may hold more than the largest packet.
func TestManyPacketsInOneFrame(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	c := w.connectWS(t, who, as(who, 5))
	id := w.conversation(who, 1)
	var frame []byte
	var sent []uint16
	for range 10 {
		n := c.nextID()
		sent = append(sent, n)
		frame = append(frame, encode(publish(c.sendTopic(id), n, payloadOf(parley.NewText(draft().ID, fillBody(30_000)))), 5)...)
	}
	c.raw(frame)
	for _, n := range sent {
		c.expectAck(n)
	}
}
