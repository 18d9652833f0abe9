package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// malformed sends what is no MQTT: before and after login, made by hand and
// mutated at random, over TCP and WebSocket, and leaves a thousand connections
// half open. The server stays, and its other users notice nothing.
func malformed(ctx context.Context, l *Lab) error {
	return l.assault(ctx, server.Config{}, func(ctx context.Context, as *assault) error {
		w := as.world
		all, err := as.disguises(ctx, min(w.Rounds, 64))
		if err != nil {
			return err
		}
		if err := w.leaveOpen(ctx, all, min(1000, w.Rounds)); err != nil {
			return err
		}
		for n := range w.Rounds {
			a := all[n%len(all)]
			var err error
			switch raw := handMade[n%len(handMade)]; {
			case n%2 == 0:
				err = a.throw(ctx, raw, n%4 == 0)
			default:
				err = a.throw(ctx, a.mutant(), n%4 == 1)
			}
			if err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
		}
		for _, frame := range badFrames() {
			if err := all[0].throwFrame(ctx, frame); err != nil {
				return err
			}
		}
		panics, err := w.metric(ctx, "parley_mqtt_panics_total")
		if err != nil {
			return err
		}
		w.result.count("panics caught", int(panics))
		w.awaitAlive()
		return nil
	})
}

// handMade is the list that everybody should survive.
var handMade = [][]byte{
	{0x00, 0x00}, {0xf0, 0x02, 0x18, 0}, {0x36, 0x00}, {0xc5, 0x00}, {0x80, 0x00}, {0x82, 0x00}, {0x82, 0x03, 0, 1, 0},
	{0x30, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x32, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, {0x10, 0xff, 0xff, 0xff, 0x7f}, {0x32, 0xff, 0xff, 0xff, 0x7f},
	{0x32, 0x04, 0xff, 0xff, 'a', 'b'}, {0x32, 0x06, 0, 1, 'a', 0, 0, 0}, {0x82, 0x07, 0, 1, 0, 0, 2, 'a', 'b'}, {0x82, 0x05, 0, 1, 0, 0, 9},
	{0x20, 0x03, 0, 0, 0}, {0x90, 0x04, 0, 1, 0, 0}, {0xb0, 0x04, 0, 1, 0, 0}, {0xd0, 0}, {0x50, 0x02, 0, 1}, {0x62, 0x02, 0, 1}, {0x70, 0x02, 0, 1},
	{0x10, 0x0a, 0, 4, 'M', 'Q', 'T', 'T', 9, 2, 0xff, 0xff}, {0x10, 0x00}, {0xe0, 0x05, 0, 0, 0, 0, 0}, {0xa2, 0x02, 0, 1}, {0x40, 0x02, 0, 0},
	[]byte("GET / HTTP/1.1\r\n\r\n"), []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), bytes.Repeat([]byte{0}, 5000), bytes.Repeat([]byte{0xff}, 5000),
}

// mutant is a packet of a client with a few bytes changed, cut off or doubled.
func (a *attacker) mutant() []byte {
	r := a.world.random
	topic := a.session.Topic(parley.TopicSend, parley.NewID(parley.PrefixConversation))
	version := [...]byte{device.MQTT5, device.MQTT311}[r.IntN(2)]
	pk := [...]packets.Packet{
		{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, PacketID: 1, TopicName: topic, Payload: []byte(`{"id":"msg_mutant_1","type":"text","body":{"text":""}}`)},
		{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1, Filters: packets.Subscriptions{{Filter: a.session.Topic(parley.TopicState, "+"), Qos: 1}}},
		{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: 1},
		*a.connectPacket(version),
	}[r.IntN(4)]
	pk.ProtocolVersion = version
	var b bytes.Buffer
	_ = map[byte]func(*bytes.Buffer) error{ // these packets can be encoded
		packets.Publish: pk.PublishEncode, packets.Subscribe: pk.SubscribeEncode, packets.Puback: pk.PubackEncode, packets.Connect: pk.ConnectEncode,
	}[pk.FixedHeader.Type](&b)
	raw := b.Bytes()
	for range 1 + r.IntN(4) {
		at := r.IntN(len(raw))
		switch r.IntN(4) {
		case 0:
			raw = raw[:max(1, at)]
		case 1:
			raw = append(raw[:at:at], append([]byte{byte(r.IntN(256))}, raw[at:]...)...)
		default:
			raw[at] ^= 1 << r.IntN(8)
		}
	}
	return raw
}

// throw sends bytes, behind a login or as the first ones, and hangs up when the
// server has had the time to choke on them. Being refused is fine, and so is
// being ignored; a login that follows has to work at once.
func (a *attacker) throw(ctx context.Context, raw []byte, loggedIn bool) error {
	if !loggedIn {
		socket, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, "tcp", a.world.server.MQTT())
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		defer socket.Close()
		return hurl(socket, raw)
	}
	began := time.Now()
	c, err := a.connect(ctx, [...]byte{device.MQTT5, device.MQTT311}[len(raw)%2])
	if err != nil {
		return fmt.Errorf("a login after garbage: %w", err)
	}
	a.world.result.took("login max", time.Since(began), time.Second)
	socket, _ := c.Raw()
	defer socket.Close()
	return hurl(socket, raw)
}

func hurl(socket net.Conn, raw []byte) error {
	_, _ = socket.Write(raw)                                         // the server may have had enough before the end
	_ = socket.SetReadDeadline(time.Now().Add(2 * time.Millisecond)) // fails only on a closed socket
	_, _ = socket.Read(make([]byte, 1024))                           // any answer will do, and none
	return nil
}

// leaveOpen leaves n connections silent, dripping or before a huge packet, and
// measures memory, logins beside them, and when they are closed.
func (w *world) leaveOpen(ctx context.Context, all []*attacker, n int) error {
	before, err := w.rss()
	if err != nil {
		return err
	}
	beginnings := [...]string{"", "\x10", "\x10\xff\xff\xff\x7f", "\x10\x20\x00\x04MQ", "\x82\xff\xff\xff\x7f", "GET /mqtt HTTP/1.1\r\n"}
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range n {
		socket, err := net.DialTimeout("tcp", w.server.MQTT(), 3*time.Second)
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		opened := time.Now()
		_, _ = socket.Write([]byte(beginnings[i%len(beginnings)])) // the server may close on it
		wg.Go(func() { w.awaitClosed(socket, opened) })
		if i%10 == 0 {
			c, err := all[i/10%len(all)].connect(ctx, device.MQTT5)
			if err != nil {
				return fmt.Errorf("a login beside half-open connections: %w", err)
			}
			w.result.took("login beside half-open ones max", time.Since(opened), time.Second)
			c.Close()
		}
	}
	return w.growth(before, 64*mib)
}

func (w *world) awaitClosed(socket net.Conn, opened time.Time) {
	defer socket.Close()
	_ = socket.SetReadDeadline(opened.Add(20 * time.Second)) // fails only on a closed socket
	for {
		if _, err := socket.Read(make([]byte, 64)); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				w.result.problem("a connection that never logged in was not closed")
			}
			w.result.took("half-open closed max", time.Since(opened), 11*time.Second)
			return
		}
	}
}

// badFrames are WebSocket frames, masked with zeroes, that hold no MQTT.
func badFrames() [][]byte {
	text := append([]byte{0x81, 0x85, 0, 0, 0, 0}, "hello"...)
	huge := []byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 'x'}
	return [][]byte{text, huge, {0x82, 0x02, 'h', 'i'}, {0x83, 0x80, 0, 0, 0, 0}, {0xf2, 0x80, 0, 0, 0, 0}, {0x09, 0xfe, 0xff, 0xff, 0, 0, 0, 0}, {0x80, 0x80, 0, 0, 0, 0}}
}

// throwFrame upgrades to WebSocket, sends the bytes and waits for the end.
func (a *attacker) throwFrame(ctx context.Context, frame []byte) error {
	addr := strings.TrimPrefix(a.world.server.URL(), "http://")
	socket, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer socket.Close()
	_, err = fmt.Fprintf(socket, "GET /mqtt HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", addr)
	if err != nil {
		return fmt.Errorf("upgrade to WebSocket: %w", err)
	}
	_, _ = socket.Write(frame) // what is wrong shows in the answer
	a.world.awaitClosed(socket, time.Now())
	return nil
}
