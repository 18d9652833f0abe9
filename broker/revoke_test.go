package broker_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
)

// While messages pour in, a device is signed out: its connections end, at once and
// with the reason, and it gets nothing more; nor does it come back for what waits.
func TestSignedOutDeviceGetsNothingMore(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		visitor, agent := w.visitor(), w.agent("lilei")
		id := w.conversation(visitor, 1)
		w.claim(agent, id)
		out, other := w.resume(t, agent, version), w.connect(t, w.agent("lilei"), version)
		out.followMessages()
		other.followMessages()
		flood := make(chan struct{})
		go func() {
			defer close(flood)
			for range 300 {
				w.record(visitor, id, draft())
			}
		}()
		out.expectEntry(out.messagesTopic(id))
		must(t, w.access.SignOut(t.Context(), agent.Identity))
		out.expectDisconnect(packets.ErrNotAuthorized)
		<-flood
		other.expectTexts(id, w.texts(id)[1:]) // and still gets everything
		if _, ack := w.try(t, as(agent, version).persistent()); ack.ReasonCode == 0 {
			t.Error("comes back with a void token")
		}
		if n := len(w.texts(id)); n != 301 {
			t.Errorf("%d messages", n)
		}
	})
}

// A device that is logging in while it is signed out does not slip through.
func TestSignOutDuringLogin(t *testing.T) {
	w := newWorld(t)
	for range 50 {
		who := w.visitor()
		c := open(t, w.dial(t), 5)
		c.send(as(who, 5).packet())
		must(t, w.access.SignOut(t.Context(), who.Identity))
		c.expectEnd()
	}
	awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
	if _, err := w.access.Verify(t.Context(), w.visitor().Token); err != nil {
		t.Errorf("a new visitor: %v", err)
	}
}

// What waits in the kernel for a device that does not read is thrown away when it
// is signed out: a second later there is nothing to read but what it had itself.
func TestSignedOutDeviceFindsNothingOnItsWay(t *testing.T) {
	const own = 512 << 10 // bytes that the reader's side may hold; the sender's holds millions
	for name, stick := range map[string]func(*world, *testing.T, parley.Credentials, string) net.Conn{
		"TCP": (*world).stuck, "tunnel": (*world).brimmingTunnel,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			who := w.visitor()
			id := w.conversation(who, 1)
			conn := stick(w, t, who, id)
			must(t, w.access.SignOut(t.Context(), who.Identity))
			awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
			time.Sleep(time.Second) // when nothing may come any more
			if n, _ := io.Copy(io.Discard, conn); n > own {
				t.Errorf("%d bytes were still to be had", n)
			}
		})
	}
}

// brimmingTunnel is stuck for a tunnel whose down stream is read by nobody. It returns the connection of the down stream.
func (w *world) brimmingTunnel(t *testing.T, who parley.Credentials, conversation string) net.Conn {
	t.Helper()
	id := w.openTunnel(t, "")
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.http.URL, "http://"))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.(*net.TCPConn).SetReadBuffer(4096))
	_, err = fmt.Fprintf(conn, "GET /mqtt/http/%s/down HTTP/1.1\r\nHost: parley.test\r\n\r\n", id)
	must(t, err)
	l := as(who, 5).persistent()
	l.window = broker.MaxWindow
	subscribe := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1,
		Filters: packets.Subscriptions{{Filter: parley.ConversationTopic(parley.TopicMessages, w.site.ID, conversation).String(), Qos: 1}},
	}
	chunk := append(encode(l.packet(), 5), encode(subscribe, 5)...)
	if a := w.request(t, http.MethodPost, "/mqtt/http/"+id+"/up?n=1", "", chunk); a.status != http.StatusNoContent {
		t.Fatalf("up: status %d", a.status)
	}
	awaitCount(t, "subscribers", 1, func() int64 { return int64(w.broker.Subscribed(parley.MessagesOf(w.site.ID, conversation))) })
	for range 150 {
		w.record(who, conversation, parley.NewText(draft().ID, fillBody(parley.MaxBodyBytes)))
	}
	return conn
}
