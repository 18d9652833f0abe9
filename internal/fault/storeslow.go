package fault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	answerLimit = 6 * time.Second // of HTTP: the 5 s that an operation of the store may take, and some
	pongLimit   = time.Second
	slowSends   = 20 // messages of each writer
	manyMore    = 2000
)

// storeSlow makes every operation of the database take 2 s, then lets none be answered,
// while messages are written, a bystander pings, and another one asks by HTTP.
func storeSlow(ctx context.Context, l *Lab) error {
	for n := range l.Rounds {
		err := l.withCrew(ctx, func(ctx context.Context, w *world) error {
			pinger, err := w.ping(ctx)
			if err != nil {
				return err
			}
			for _, mood := range []string{"slow 2s", "hang"} {
				if err := w.slowFor(ctx, mood, pinger); err != nil {
					return fmt.Errorf("%s: %w", mood, err)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
	}
	return nil
}

func (w *world) slowFor(ctx context.Context, mood string, pinger *pinger) error {
	if err := w.drain(ctx); err != nil {
		return err
	}
	before, err := w.metric(ctx, "go_goroutines")
	if err != nil {
		return err
	}
	if err := w.store.Turn(mood); err != nil {
		return err
	}
	acked := w.acked()
	w.write(slowSends)
	pinger.quantile(1)
	for range w.asks() {
		w.ask(ctx, mood)
	}
	if mood != "hang" {
		w.expectSome(ctx, mood, acked)
	}
	w.result.took("PINGRESP p99 with "+mood, pinger.quantile(0.99), pongLimit)
	now, err := w.metric(ctx, "go_goroutines")
	if err != nil {
		return err
	}
	w.result.measure("goroutines more", now-before, "", manyMore)
	if n := w.acked(); mood == "hang" && n != acked {
		w.result.problem("%d messages were acknowledged by a store that does not answer", n-acked)
	}
	w.result.count("acknowledged with "+mood, int(w.acked()-acked))
	if err := w.store.Turn("fine"); err != nil {
		return err
	}
	began := time.Now()
	if err := w.drain(ctx); err != nil {
		return err
	}
	w.result.took("drained after "+mood+" max", time.Since(began), drainedLimit)
	return w.awaitBack(ctx)
}

// expectSome waits until something has been acknowledged: a database that takes its time
// stores all the same.
func (w *world) expectSome(ctx context.Context, mood string, before int64) {
	err := await(ctx, answerLimit, func() string {
		if w.acked() == before {
			return "nothing is acknowledged"
		}
		return ""
	})
	if err != nil {
		w.result.problem("with %s, %v: %s", mood, err, w.trouble())
	}
}

// asks is how often somebody sends a message by HTTP while the database is slow.
func (l *Lab) asks() int {
	if l.Soak {
		return 10
	}
	return 2
}

// ask sends a message by HTTP and measures how long the answer takes, whatever it is.
// One that is refused for the moment may be there all the same: it is sent again under
// the same id when the database is well.
func (w *world) ask(ctx context.Context, mood string) {
	p := w.publishers[0]
	began := time.Now()
	seq, err := w.say(ctx, &w.journal, p.Session, p.Conversation, parley.NewText(parley.NewID(parley.PrefixMessage), "are you there?"))
	w.result.took("answer by HTTP max with "+mood, time.Since(began), answerLimit)
	refusal := (*parley.Error)(nil)
	switch {
	case err == nil && mood == "hang":
		w.result.problem("a store that does not answer has given %d", seq)
	case err != nil && !(errors.As(err, &refusal) && refusal.Code == parley.CodeUnavailable):
		w.result.problem("with %s, a message by HTTP is answered with: %v", mood, err)
	}
}

// pinger is a bystander who only wants to know whether the server is there.
type pinger struct{ timings }

// ping starts a pinger, which goes on until the world is settled.
func (w *world) ping(ctx context.Context) (*pinger, error) {
	s, err := w.rest.Visitor(ctx, server.SiteKey, "pinger")
	if err != nil {
		return nil, err
	}
	c, err := w.login(ctx, s)
	if err != nil {
		return nil, err
	}
	p := &pinger{}
	w.standBy(ctx, func(ctx context.Context) {
		defer c.Close()
		for sleep(ctx, probeEvery) == nil {
			if err := p.once(c); err != nil {
				w.result.problem("a connection that only pings has ended: %v", err)
				return
			}
		}
	})
	return p, nil
}

// once sends a PINGREQ and waits for its answer.
func (p *pinger) once(c *device.Conn) error {
	began := time.Now()
	socket, _ := c.Raw()
	_ = socket.SetDeadline(began.Add(probeLimit)) // fails only on a closed socket
	if err := c.Ping(); err != nil {
		return err
	}
	pk, err := c.Read()
	if err != nil {
		return err
	}
	if pk.FixedHeader.Type != packets.Pingresp {
		return fmt.Errorf("expected PINGRESP, got %s", packets.PacketNames[pk.FixedHeader.Type])
	}
	p.add(time.Since(began))
	return nil
}
