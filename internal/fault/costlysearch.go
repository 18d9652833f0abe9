package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	searchTalkers   = 10   // visitors with something to search in
	searchTalk      = 400  // messages of each, at most
	searchUsers     = 20   // visitors who search, as often at once as they may
	searchDesk      = 10   // searches of one agent at once, more than may be
	searchLimit     = 1500 // ms: a second, and the way there and back on a busy machine
	deliveryLimit   = 500  // ms
	searchCalm      = 2 * time.Second
	searchCalmShort = 300 * time.Millisecond
)

// costlySearch lets fifty search at once for what is expensive to find, while
// messages go their way.
func costlySearch(ctx context.Context, l *Lab) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		if err := w.talk(ctx); err != nil {
			return err
		}
		e, err := w.echo(ctx)
		if err != nil {
			return err
		}
		h, err := w.hunters(ctx)
		if err != nil {
			return err
		}
		calm := searchCalm
		if !w.Soak {
			calm = searchCalmShort
		}
		e.take()
		if err := sleep(ctx, calm); err != nil {
			return err
		}
		before := e.take()
		if err := h.run(ctx); err != nil {
			return err
		}
		during := e.take()
		w.result.measure("delivery p99 before", ms(quantile(before, 0.99)), "ms", 0)
		w.result.measure("delivery p99 while they search", ms(quantile(during, 0.99)), "ms", deliveryLimit)
		h.judge()
		return nil
	})
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// talk makes something to search in.
func (w *world) talk(ctx context.Context) error {
	each := searchTalk
	if !w.Soak {
		each /= 8
	}
	for range searchTalkers {
		p, err := w.visitor(ctx, device.Raw5, w.endpoint(), 100)
		if err != nil {
			return err
		}
		for n := range each {
			p.Send(fmt.Sprintf("%d 你好,我的退款什么时候到? The refund of my order, please 👍🏽 %s %s", n, strings.Repeat("a", n%40+1), strings.Repeat("我的", n%20)))
		}
	}
	return w.drain(ctx)
}

// costly are queries that would be expensive somewhere, and some that are bad.
func costly() []string {
	return []string{
		"*", "**", ".*", "(a+)+$", "((a*)*)*b", "(?=(a+))a*b", "^(([a-z])+.)+[A-Z]([a-z])+$", "%", "_", `"`, `\`, "' OR 1=1 --", `{"$ne":null}`,
		"a", "我", "的", "我的", "我的我的我的我的我的我的我的我的", "👍🏽", "👍", "👨‍👩‍👧‍👦", "the refund my order please", "退款 什么 时候 order refund", "退款 nothing",
		strings.Repeat("我的", 32), strings.Repeat("a ", 100), strings.Repeat("(a+)+", 2000), strings.Repeat("x", 10_000), strings.Repeat("退", 3000),
		strings.Repeat("👍", 2000), strings.Repeat("\u0301", 200), "e" + strings.Repeat("\u0301", 199), strings.Repeat("\"a b\" ", 16), "\xff\xfe", "\x00",
	}
}

// hunters search all the time.
type hunters struct {
	*world
	visitors []*device.Session
	agent    *device.Session

	mu       sync.Mutex
	times    []time.Duration
	partial  int
	answered int
	limited  int // of the agent
}

func (w *world) hunters(ctx context.Context) (*hunters, error) {
	h := &hunters{world: w}
	var err error
	for range searchUsers {
		s, err := w.rest.Visitor(ctx, server.SiteKey, "searcher")
		if err != nil {
			return nil, err
		}
		h.visitors = append(h.visitors, s)
	}
	h.agent, err = w.rest.Agent(ctx, server.Site, server.AgentEmail, server.Password)
	return h, err
}

// run lets everybody search as often as there are rounds, by turns for everything
// that is costly.
func (h *hunters) run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, s := range h.visitors {
		for range 2 {
			wg.Go(func() { h.search(ctx, s) })
		}
	}
	for range searchDesk {
		wg.Go(func() { h.search(ctx, h.agent) })
	}
	wg.Wait()
	return ctx.Err()
}

func (h *hunters) search(ctx context.Context, s *device.Session) {
	queries := costly()
	for n := range h.Rounds {
		for _, q := range queries[n%3*len(queries)/3:] {
			if ctx.Err() != nil {
				return
			}
			h.one(ctx, s, q)
		}
	}
}

// one searches, and notes what came of it.
func (h *hunters) one(ctx context.Context, s *device.Session, q string) {
	began := time.Now()
	_, whole, err := h.rest.Search(ctx, s, url.Values{"q": {q}, "limit": {"100"}})
	took := time.Since(began)
	var refusal *parley.Error
	h.mu.Lock()
	defer h.mu.Unlock()
	h.times = append(h.times, took)
	switch {
	case err == nil && !whole:
		h.partial++
	case err == nil:
		h.answered++
	case errors.As(err, &refusal) && refusal.Code == parley.CodeRateLimited:
		if s == h.agent {
			h.limited++
		}
	case errors.As(err, &refusal) && refusal.Code == parley.CodeInvalid, ctx.Err() != nil:
	default:
		h.result.problem("a search for %.20q was answered with %v", q, err)
	}
}

func (h *hunters) judge() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.result.count("searches", len(h.times))
	h.result.count("cut off, or the index behind", h.partial)
	h.result.measure("slowest search", ms(quantile(h.times, 1)), "ms", searchLimit)
	if h.answered == 0 {
		h.result.problem("no search was answered")
	}
	if h.limited == 0 {
		h.result.problem("one agent searched %d times at once and was never told to wait", searchDesk)
	}
}

// echo is a device that measures how long its own messages take until they are
// delivered to it.
type echo struct {
	session      *device.Session
	conversation string
	conn         *device.Conn
	timings
}

// echo starts one, which goes on until the world is quiet.
func (w *world) echo(ctx context.Context) (*echo, error) {
	s, err := w.rest.Visitor(ctx, server.SiteKey, "echo")
	if err != nil {
		return nil, err
	}
	token, err := w.rest.Token(ctx, s)
	if err != nil {
		return nil, err
	}
	c, _, err := device.Connect(ctx, w.server.MQTT(), device.Options{
		Version: device.MQTT5, ClientID: s.ClientID(), Password: token, CleanStart: true, ReceiveMaximum: 100,
	})
	if err != nil {
		return nil, err
	}
	if err := c.Subscribe(1, s.Topic("messages", "+")); err != nil {
		c.Close()
		return nil, err
	}
	e := &echo{session: s, conversation: parley.NewID(parley.PrefixConversation), conn: c}
	w.standBy(ctx, func(ctx context.Context) {
		defer c.Close()
		for sleep(ctx, probeEvery) == nil {
			if err := e.shout(); err != nil {
				w.result.problem("who listens for its own messages: %v", err)
				return
			}
		}
	})
	return e, nil
}

// shout publishes a message and waits until it is delivered.
func (e *echo) shout() error {
	d := parley.NewText(parley.NewID(parley.PrefixMessage), "hello?")
	payload, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode draft: %w", err)
	}
	began := time.Now()
	if err := e.conn.Publish(2, e.session.Topic(parley.TopicSend, e.conversation), payload); err != nil {
		return err
	}
	socket, _ := e.conn.Raw()
	_ = socket.SetReadDeadline(began.Add(probeLimit)) // fails only on a closed socket
	for acked, shown := false, false; !acked || !shown; {
		pk, err := e.conn.Read()
		if err != nil {
			return err
		}
		switch pk.FixedHeader.Type {
		case packets.Puback:
			acked = true
		case packets.Publish:
			if err := e.conn.Acknowledge(pk.PacketID); err != nil {
				return err
			}
			if strings.Contains(string(pk.Payload), d.ID) {
				shown = true
				e.add(time.Since(began))
			}
		}
	}
	return nil
}
