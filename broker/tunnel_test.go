package broker_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
	"github.com/parley-chat/parley/internal/fault/device"
)

func (w *world) dialTunnel(t *testing.T) *device.Tunnel {
	t.Helper()
	tunnel, err := device.DialTunnel(t.Context(), w.http.URL, nil)
	must(t, err)
	t.Cleanup(func() { _ = tunnel.Close() })
	return tunnel
}

func (w *world) connectTunnel(t *testing.T, who parley.Credentials, l login) *client {
	t.Helper()
	return connectOn(t, w.dialTunnel(t), who, l)
}

// expectTunnelClose waits for the end, and the code that the server gave for it.
func (c *client) expectTunnelClose(code int) {
	c.t.Helper()
	var e *device.TunnelClosedError
	if err := c.ending(); !errors.As(err, &e) || e.Code != code {
		c.t.Errorf("the tunnel ended with %v, want close code %d", err, code)
	}
}

func TestConversationThroughTunnel(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		page, app := w.connectTunnel(t, who, as(who, version)), w.connect(t, w.again(who), version)
		page.followMessages()
		app.followMessages()
		id := parley.NewID(parley.PrefixConversation)
		large := parley.NewText(draft().ID, fillBody(parley.MaxBodyBytes))
		all := append(drafts(100), large)
		var sent []uint16
		for _, d := range all[:50] {
			sent = append(sent, page.post(id, d)) // in flight together
		}
		for _, n := range sent {
			page.expectAck(n)
		}
		for _, d := range all[50:] {
			page.expectAck(page.post(id, d))
		}
		page.expectTexts(id, idsOf(all))
		app.expectTexts(id, idsOf(all))
		answers := drafts(20)
		for _, d := range answers {
			app.expectAck(app.post(id, d))
		}
		page.expectTexts(id, idsOf(answers))
		page.ping()
	})
}

// A client library that knows nothing of tunnels.
func TestPahoThroughTunnel(t *testing.T) {
	w := newWorld(t)
	through, stop, err := device.Endpoint{}.ThroughTunnels(w.http.URL)
	must(t, err)
	defer stop()
	who := w.visitor()
	id := parley.NewID(parley.PrefixConversation)
	for range 2 { // the second time it resumes
		d := w.paho(t, who, "tcp://"+through.MQTT)
		d.follow()
		all := drafts(50)
		var tokens []mqtt.Token
		for _, m := range all {
			tokens = append(tokens, d.post(id, m))
		}
		for _, token := range tokens {
			d.wait(token)
		}
		d.expectTexts(idsOf(all))
		awaitCount(t, "deliveries not acknowledged", 0, func() int64 {
			s := w.broker.Stats() // what the library did not get to acknowledge would come again
			return s.Delivered - s.Acknowledged
		})
		d.client.Disconnect(250)
		awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
	}
	awaitCount(t, "tunnels", 0, func() int64 { return w.broker.Stats().Tunnels })
}

func TestTunnelCloseCodes(t *testing.T) {
	w := newWorld(t, recordFor(1))
	who := w.visitor()
	versions(t, func(t *testing.T, version byte) {
		t.Run("token refused", func(t *testing.T) {
			l := as(who, version)
			l.token = "not a token"
			c, _ := tryOn(t, w.dialTunnel(t), l)
			c.expectTunnelClose(4401)
		})
		t.Run("taken over", func(t *testing.T) {
			older := w.connectTunnel(t, who, as(who, version))
			newer := w.connectWS(t, who, as(who, version))
			older.expectTunnelClose(4408)
			w.connectTunnel(t, who, as(who, version))
			newer.expectClose(4408)
		})
		t.Run("second CONNECT", func(t *testing.T) {
			c := w.connectTunnel(t, who, as(who, version))
			c.send(as(who, version).packet())
			c.expectTunnelClose(4400)
		})
		t.Run("store down", func(t *testing.T) {
			c := w.connectTunnel(t, who, as(who, version))
			w.store.fail()
			c.post("cnv_mine", draft())
			c.expectTunnelClose(1001)
			w.store.repair()
		})
	})
	c := w.connectTunnel(t, who, as(who, 5))
	w.restart()
	c.expectDisconnect(packets.ErrServerShuttingDown)
	c.expectTunnelClose(1001)
}

func TestTunnelEndsWithTheToken(t *testing.T) {
	w := newWorld(t)
	w.tokenLife = 2 * time.Second
	w.restart()
	versions(t, func(t *testing.T, version byte) {
		who := w.visitor()
		c := w.connectTunnel(t, who, as(who, version))
		c.expectTunnelClose(4401)
		if late := time.Since(who.Identity.Expires); late > time.Second {
			t.Errorf("closed %v after the token had ended", late)
		}
	})
}

func TestTooManyTunnelsThatSayNothing(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.MaxPending = 1 })
	c := open(t, w.dialTunnel(t), 5)
	w.dialTunnel(t)
	c.expectTunnelClose(4429)
}

// Where packets begin has nothing to do with where chunks begin.
func TestChunksAreNotPackets(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := parley.NewID(parley.PrefixConversation)
	topic := parley.ConversationTopic(parley.TopicSend, w.site.ID, id).String()
	all := drafts(20)
	stream := append(encode(as(who, 5).packet(), 5), burst(topic, all, 5)...)
	for name, size := range map[string]int{"a chunk for each byte": 1, "chunks of 7 bytes": 7, "one chunk": len(stream)} {
		t.Run(name, func(t *testing.T) {
			r := w.rawTunnel(t, "")
			c := open(t, r, 5)
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

// The down stream is cut again and again in the middle of deliveries. What the
// device applies by seq is the log.
func TestTunnelIsCutWhileItDelivers(t *testing.T) {
	const messages = 400
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		id := w.conversation(who, 1)
		writer := w.connect(t, w.again(who), version)
		l := as(who, version).persistent()
		first := w.connectTunnel(t, who, l)
		first.followMessages()
		var writing sync.WaitGroup
		defer writing.Wait()
		writing.Go(func() {
			for range messages {
				writer.expectAck(writer.post(id, draft()))
			}
		})
		have, cuts := w.stored(id)[:2], 0 // what was there before it subscribed
		last := have[1].Seq + messages
		for c := first; have[len(have)-1].Seq < last; c = w.connectTunnel(t, who, l) {
			have = append(have, c.entriesUntilCut(have[len(have)-1].Seq, last)...)
			cuts++
		}
		writing.Wait()
		if diff := cmp.Diff(textIDs(w.stored(id)), textIDs(have)); diff != "" {
			t.Errorf("after %d cuts (-stored +shown):\n%s", cuts, diff)
		}
	})
}

// entriesUntilCut takes deliveries until some are new, or the last of all has come,
// and cuts. What has come by then is taken too: it was acknowledged.
func (c *client) entriesUntilCut(have, last int64) []parley.Entry {
	c.t.Helper()
	defer c.hangUp()
	var fresh []parley.Entry
	apply := func(pk packets.Packet) {
		e, _, err := parley.DecodeEntry("", pk.Payload)
		must(c.t, err)
		switch {
		case e.Seq == have+1:
			fresh = append(fresh, e)
			have++
		case e.Seq > have:
			c.t.Fatalf("seq %d came after %d", e.Seq, have)
		}
	}
	for len(fresh) < 37 && have < last {
		apply(c.await("a delivery", func(pk packets.Packet) bool { return pk.FixedHeader.Type == packets.Publish }))
	}
	c.hangUp()
	c.expectEnd()
	c.mu.Lock()
	rest := c.inbox
	c.mu.Unlock()
	for _, pk := range rest {
		if pk.FixedHeader.Type == packets.Publish {
			apply(pk)
		}
	}
	return fresh
}

// stuckTunnel returns a tunnel of a device that does not read what comes down, and
// has much to read.
func (w *world) stuckTunnel(t *testing.T, who parley.Credentials, conversation string) {
	t.Helper()
	stuck := w.rawTunnel(t, "")
	l := as(who, 5)
	l.window = broker.MaxWindow
	stuck.post(t, encode(l.packet(), 5))
	stuck.post(t, encode(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1,
		Filters: packets.Subscriptions{{Filter: parley.ConversationTopic(parley.TopicMessages, w.site.ID, parley.Any).String(), Qos: 1}},
	}, 5))
	await(t, func() string {
		if w.broker.Following(who.Identity.DeviceKey()) != 1 {
			return "not subscribed"
		}
		return ""
	})
	for range 300 { // more than the sockets take
		w.record(who, conversation, parley.NewText(draft().ID, fillBody(60_000)))
	}
}

// Who does not read its down stream harms nobody, and is given up.
func TestStuckTunnelDelaysNobody(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.WriteTimeout = time.Second })
	who := w.visitor()
	id := w.conversation(who, 1)
	quick := w.again(who)
	app := w.connectTunnel(t, quick, as(quick, 5))
	app.followMessages()
	w.stuckTunnel(t, who, id)
	app.expectTexts(id, w.texts(id)[1:])
	awaitCount(t, "tunnels", 1, func() int64 { return w.broker.Stats().Tunnels })
}

func TestStuckTunnelIsTakenOverAtOnce(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	w.stuckTunnel(t, who, w.conversation(who, 1))
	started := time.Now()
	w.connectTunnel(t, who, as(who, 5))
	if took := time.Since(started); took > time.Second {
		t.Errorf("CONNACK came after %v", took)
	}
}
