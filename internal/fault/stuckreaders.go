package fault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// How a reader can be stuck.
const (
	readsNothing = iota
	readsDrops   // one byte a second
	acksNothing  // reads, but never acknowledges, with a window of one
	waysToStick
)

const (
	calm     = 3 * time.Second // of measuring before and while readers are stuck
	cutLimit = 30 * time.Second
	flood    = 120 // messages of 60 KB: more than the sockets hold
)

// stuckReaders floods devices that do not read, while a bystander measures. The
// devices are cut off, come back as they should be, and get everything.
func stuckReaders(ctx context.Context, l *Lab) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		bystander, err := w.probe(ctx)
		if err != nil {
			return err
		}
		flooder, err := w.visitor(ctx, device.Raw5, w.endpoint(), 20)
		if err != nil {
			return err
		}
		var stuck []*stuckReader
		for n := range w.Rounds {
			s, err := w.stick(ctx, flooder, n%waysToStick)
			if err != nil {
				return err
			}
			w.devices.Go(func() { s.behaveBadly(ctx) })
			stuck = append(stuck, s)
		}
		bystander.quantile(1)
		pause, messages := calm, flood
		if !w.Soak {
			pause, messages = calm/6, flood/4
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		before := bystander.quantile(0.99)
		for range messages {
			flooder.Send(strings.Repeat("flood ", 10_000))
		}
		if err := w.drain(ctx); err != nil {
			return err
		}
		during := bystander.quantile(0.99)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		after := bystander.quantile(0.99)
		w.result.measure("p99 before", float64(before.Microseconds())/1000, "ms", 0)
		w.result.measure("p99 in the flood itself", float64(during.Microseconds())/1000, "ms", 500)
		w.result.measure("p99 while they are stuck", float64(after.Microseconds())/1000, "ms", max(1.2*float64(before.Microseconds())/1000, 10))
		if !w.Soak {
			cutShort(stuck)
		}
		return w.recover(ctx, stuck)
	})
}

// stuckReader is a device that has subscribed and then stopped to behave.
type stuckReader struct {
	session *device.Session
	way     int
	conn    *device.Conn
	owed    string
}

// stick connects another device of the visitor whose conversation is flooded.
func (w *world) stick(ctx context.Context, flooder *device.Publisher, way int) (*stuckReader, error) {
	session, err := w.rest.SameVisitor(ctx, server.SiteKey, flooder.Session)
	if err != nil {
		return nil, err
	}
	token, err := w.rest.Token(ctx, session)
	if err != nil {
		return nil, err
	}
	o := device.Options{Version: device.MQTT5, ClientID: session.ClientID(), Password: token, ReceiveMaximum: 1000}
	if way == acksNothing {
		o.ReceiveMaximum = 1
	}
	c, _, err := device.Connect(ctx, w.server.MQTT(), o)
	if err != nil {
		return nil, err
	}
	socket, _ := c.Raw()
	if err := socket.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		return nil, fmt.Errorf("make a small window: %w", err)
	}
	if err := c.Subscribe(1, session.Topic("messages", "+")); err != nil {
		return nil, err
	}
	ack, err := c.Read()
	if err != nil || ack.FixedHeader.Type != packets.Suback {
		return nil, fmt.Errorf("subscribe a reader that will be stuck: %w", err)
	}
	return &stuckReader{session: session, way: way, conn: c, owed: flooder.Conversation}, nil
}

// cutShort ends the connections: a test does not wait until the server does.
func cutShort(stuck []*stuckReader) {
	for _, s := range stuck {
		s.conn.Close()
	}
}

// behaveBadly pings, so that the keep alive has nothing to complain about, and
// reads as little as its way says.
func (s *stuckReader) behaveBadly(ctx context.Context) {
	socket, _ := s.conn.Raw()
	defer s.conn.Close()
	stop := context.AfterFunc(ctx, s.conn.Close)
	defer stop()
	for n := 0; ; n++ {
		if n%5 == 0 {
			_ = socket.SetWriteDeadline(time.Now().Add(time.Second)) // fails only on a closed socket
			if s.conn.Ping() != nil {
				return
			}
		}
		few := make([]byte, 1)
		switch s.way {
		case acksNothing:
			few = make([]byte, 1<<20)
			fallthrough
		case readsDrops:
			_ = socket.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // fails only on a closed socket
			if _, err := socket.Read(few); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
		}
		if sleep(ctx, time.Second) != nil {
			return
		}
	}
}

// recover waits until those are cut off on whom a write is stuck, and lets
// everybody come back and read properly. Whether a connection is cut is for the
// server to say: its FIN is stuck behind what is not read.
func (w *world) recover(ctx context.Context, stuck []*stuckReader) error {
	alive := float64(3 + w.residents()) // the bystander's two, and who floods
	for _, s := range stuck {
		if s.way == acksNothing { // nothing is stuck there: the window is the reader's own business
			alive++
		}
	}
	began := time.Now()
	err := await(ctx, 3*cutLimit, func() string {
		if n, err := w.metric(ctx, "parley_mqtt_connections"); err != nil || n > alive {
			return fmt.Sprintf("%v of %d stuck readers are not cut: %v", n-alive, len(stuck), err)
		}
		return ""
	})
	if err != nil {
		w.result.problem("%v", err)
	}
	w.result.took("stuck ones cut", time.Since(began), cutLimit)
	for _, s := range stuck {
		s.conn.Close()
		d := device.NewSubscriberOf(device.Raw5, w.endpoint(), s.session, 100)
		d.Follow(s.owed, 2)
		w.readers = append(w.readers, d)
		w.devices.Go(func() { d.Run(ctx) })
	}
	return nil
}
