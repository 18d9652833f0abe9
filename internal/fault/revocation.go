package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	deafLimit  = time.Second             // after the call has returned
	deafWatch  = 1500 * time.Millisecond // how long somebody is watched who may not hear any more
	resumeTime = 300 * time.Millisecond  // the same for who comes back
	atATime    = 4                       // conversations that are claimed
)

// revocation takes away the right to read while messages flood in: a colleague
// claims the conversation, or the agent is signed out everywhere. Nothing may reach
// the agent from a second later on, over TCP, WebSocket or REST, and a device that
// is away gets nothing of it when it comes back.
func revocation(ctx context.Context, l *Lab) error {
	// Without a household, whose agent would be signed out as well.
	return l.alone(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		colleague, err := w.rest.Agent(ctx, server.Site, server.SecondEmail, server.Password)
		if err != nil {
			return err
		}
		half := w.Rounds / 2
		err = w.eachRound(half, atATime, func() error {
			return w.revoke(ctx, func(r *robbed) error { return w.rest.Claim(ctx, colleague, r.conversation) })
		})
		if err != nil {
			return fmt.Errorf("claimed by another: %w", err)
		}
		err = w.eachRound(w.Rounds-half, 1, func() error { // all devices of the agent, and so of all rounds
			return w.revoke(ctx, func(r *robbed) error {
				r.signedOut = true
				return w.rest.SignOutEverywhere(ctx, r.away)
			})
		})
		if err != nil {
			return fmt.Errorf("signed out: %w", err)
		}
		return nil
	})
}

// eachRound makes n rounds, some at a time.
func (w *world) eachRound(n, at int, round func() error) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	turns := make(chan struct{}, at)
	for range n {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			if err := round(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// robbed is an agent who reads a conversation in the queue and loses the right to.
type robbed struct {
	conversation string
	away         *device.Session // a device with a session that is not connected
	listeners    []*listener
	signedOut    bool
}

// revoke is a round: take away takes the right.
func (w *world) revoke(ctx context.Context, take func(*robbed) error) error {
	ctx, over := context.WithCancel(ctx)
	var ended sync.WaitGroup
	defer ended.Wait()
	defer over()
	r := &robbed{}
	if err := w.flood(ctx, r, &ended); err != nil {
		return err
	}
	if err := w.listen(ctx, r, &ended); err != nil {
		return err
	}
	if err := r.await(ctx); err != nil {
		return err
	}
	if err := take(r); err != nil {
		return err
	}
	returned := time.Now()
	if err := sleep(ctx, deafWatch); err != nil {
		return err
	}
	for _, l := range r.listeners {
		_, last := l.heard()
		late := max(0, last.Sub(returned))
		w.result.took("last message after the call, "+l.name, late, deafLimit)
		if late > deafLimit {
			w.result.problem("a message came by %s %v after the right to read it was taken away", l.name, late)
		}
	}
	return w.comeBackDeaf(ctx, r)
}

// flood writes messages into a new conversation, in the queue, until ctx ends.
func (w *world) flood(ctx context.Context, r *robbed, ended *sync.WaitGroup) error {
	s, err := w.rest.Visitor(ctx, server.SiteKey, "talkative")
	if err != nil {
		return err
	}
	p := device.NewPublisher(device.Endpoint{REST: w.rest, MQTT: w.server.MQTT()}, s, parley.NewID(parley.PrefixConversation), 20)
	r.conversation = p.Conversation
	w.lock.Lock()
	w.writers = append(w.writers, p)
	w.streams = append(w.streams, stream{p.Conversation, s})
	w.lock.Unlock()
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended.Go(func() { p.Run(running) })
	ended.Go(func() {
		defer stop()
		for sleep(ctx, 2*time.Millisecond) == nil {
			if p.Pending() < 20 {
				p.Send("and another thing")
			}
		}
		deadline := time.Now().Add(roundTimeout)
		for p.Pending() > 0 && time.Now().Before(deadline) { // else the row says what is missing
			time.Sleep(poll)
		}
	})
	return await(ctx, setupTimeout, func() string {
		if p.Acked() == 0 {
			return fmt.Sprintf("the first message is not acknowledged: %v", p.Err())
		}
		return ""
	})
}

// listener is one way in which the agent reads.
type listener struct {
	name string

	mu    sync.Mutex
	count int
	last  time.Time
}

func (l *listener) hear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	l.last = time.Now()
}

func (l *listener) heard() (n int, last time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count, l.last
}

// await waits until every listener has heard something.
func (r *robbed) await(ctx context.Context) error {
	return await(ctx, setupTimeout, func() string {
		for _, l := range r.listeners {
			if n, _ := l.heard(); n < 10 {
				return fmt.Sprintf("%d messages were heard by %s", n, l.name)
			}
		}
		return ""
	})
}

// listen lets the agent read by TCP, by WebSocket and by REST, and leaves the session
// of one more device behind.
func (w *world) listen(ctx context.Context, r *robbed, ended *sync.WaitGroup) error {
	for _, way := range []struct {
		name    string
		version byte
		addr    string
		connect connector
	}{
		{"TCP", device.MQTT5, w.server.MQTT(), device.Connect},
		{"WebSocket", device.MQTT311, strings.TrimPrefix(w.server.URL(), "http://"), device.ConnectWebSocket},
	} {
		c, _, err := w.follow(ctx, r, way.version, way.addr, way.connect)
		if err != nil {
			return err
		}
		l := r.listener(way.name)
		ended.Go(func() { l.read(ctx, c) })
	}
	c, s, err := w.follow(ctx, r, device.MQTT5, w.server.MQTT(), device.Connect)
	if err != nil {
		return err
	}
	c.Disconnect()
	r.away = s
	if s, err = w.rest.Agent(ctx, server.Site, server.AgentEmail, server.Password); err != nil {
		return err
	}
	l := r.listener("REST")
	ended.Go(func() {
		for sleep(ctx, 2*poll) == nil {
			if _, err := w.rest.Head(ctx, s, r.conversation); err == nil {
				l.hear()
			}
		}
	})
	return nil
}

func (r *robbed) listener(name string) *listener {
	l := &listener{name: name}
	r.listeners = append(r.listeners, l)
	return l
}

type connector func(ctx context.Context, addr string, o device.Options) (*device.Conn, bool, error)

// follow signs the agent in on a device that subscribes to the conversation, and has
// a session.
func (w *world) follow(ctx context.Context, r *robbed, version byte, addr string, connect connector) (*device.Conn, *device.Session, error) {
	s, err := w.rest.Agent(ctx, server.Site, server.AgentEmail, server.Password)
	if err != nil {
		return nil, nil, err
	}
	c, _, err := connect(ctx, addr, device.Options{Version: version, ClientID: s.ClientID(), Password: s.Credentials().Token})
	if err != nil {
		return nil, nil, err
	}
	if err := subscribed(c, s.Topic(parley.TopicMessages, r.conversation)); err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, s, nil
}

// read hears what comes, until the connection or ctx ends.
func (l *listener) read(ctx context.Context, c *device.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	for {
		pk, err := c.Read()
		if err != nil || pk.FixedHeader.Type == packets.Disconnect {
			return
		}
		l.hear()
		if pk.FixedHeader.Type == packets.Publish && c.Acknowledge(pk.PacketID) != nil {
			return
		}
	}
}

// comeBackDeaf lets the device connect that was away.
func (w *world) comeBackDeaf(ctx context.Context, r *robbed) error {
	c, present, err := device.Connect(ctx, w.server.MQTT(), device.Options{
		Version: device.MQTT5, ClientID: r.away.ClientID(), Password: r.away.Credentials().Token,
	})
	if r.signedOut {
		if refused := new(device.RefusedError); !errors.As(err, &refused) {
			w.result.problem("a device that was signed out came back: %v", err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer c.Close()
	if !present {
		w.result.problem("the session of a device was gone when it came back")
	}
	socket, _ := c.Raw()
	_ = socket.SetReadDeadline(time.Now().Add(resumeTime)) // fails only on a closed socket
	queued := 0
	for {
		pk, err := c.Read()
		if err != nil {
			break
		}
		if pk.FixedHeader.Type == packets.Publish {
			queued++
		}
	}
	w.result.count("messages on resume", queued)
	if queued > 0 {
		w.result.problem("%d messages came on resume of a conversation that the agent may not read", queued)
	}
	return nil
}
