package fault

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/proxy"
	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	aDay         = 24 * time.Hour
	withSession  = 29 * aDay // less than the thirty that a session may last
	withoutOne   = 31 * aDay
	messagesEach = 1000 // of a round
	syncedLimit  = 20 * time.Second
)

// longAbsence lets devices be away for a month, in which thousands of messages come
// and the server is killed. Some have a session that lasts so long and are delivered
// everything; some have lost it, and say or ask for what they lack.
func longAbsence(ctx context.Context, l *Lab) error {
	c, config, err := l.clock(0)
	if err != nil {
		return err
	}
	return l.within(ctx, config, func(ctx context.Context, w *world) error {
		p, err := w.visitor(ctx, device.Raw5, w.endpoint(), 60)
		if err != nil {
			return err
		}
		t := &travellers{world: w, clock: c, writer: p}
		if err := t.meet(ctx); err != nil {
			return err
		}
		return t.travel(ctx)
	})
}

// travellers are devices of one visitor, most of whom are away.
type travellers struct {
	*world
	clock   *clock
	writer  *device.Publisher
	session []*away // who have one when they come back
	tracker *away
	page    *device.Process
	cable   *proxy.Proxy // of the page
}

// meet connects everybody once, and lets them go.
func (t *travellers) meet(ctx context.Context) error {
	for _, kind := range []device.Kind{device.Raw311, device.Paho, device.Mosquitto311} {
		a, err := t.beside(ctx, kind, t.writer)
		if err != nil {
			return err
		}
		t.session = append(t.session, a)
	}
	if err := t.meetTracker(ctx); err != nil {
		return err
	}
	if err := t.meetPage(ctx); err != nil {
		return err
	}
	for _, a := range append(t.session, t.tracker) {
		a.stop()
	}
	t.cable.Freeze()
	return nil
}

func (t *travellers) meetTracker(ctx context.Context) error {
	s, err := t.rest.SameVisitor(ctx, server.SiteKey, t.writer.Session)
	if err != nil {
		return err
	}
	d := device.NewTracker(t.endpoint(), s, t.writer.Conversation)
	t.tracker = &away{sometimes: sometimes{Subscriber: d, world: t.world}}
	d.Follow(t.writer.Conversation, 0)
	t.tracker.start(ctx)
	t.readers = append(t.readers, d)
	return t.caughtUp(ctx, "the first time", setupTimeout, d)
}

func (t *travellers) meetPage(ctx context.Context) (err error) {
	if t.cable, err = proxy.Listen(ctx, t.server.URL()[len("http://"):]); err != nil {
		return err
	}
	t.closers = append(t.closers, t.cable.Close)
	s, err := t.rest.SameVisitor(ctx, server.SiteKey, t.writer.Session)
	if err != nil {
		return err
	}
	t.page, err = device.Start(ctx, nil, t.Binary, t.Client, device.Part{
		Kind: device.Web, URL: "http://" + t.cable.Addr(), Publishes: true, Conversation: t.writer.Conversation, Credentials: s.Credentials(),
	})
	if err != nil {
		return err
	}
	t.closers = append(t.closers, t.page.Kill)
	t.readers = append(t.readers, latecomer{t.page, t.writer.Conversation})
	return await(ctx, setupTimeout, func() string {
		if t.page.Shown(t.writer.Conversation) == 0 {
			return fmt.Sprintf("a page shows nothing: %v", t.page.Err())
		}
		return ""
	})
}

// travel lets a month go by in which messages come, and everybody come back.
func (t *travellers) travel(ctx context.Context) error {
	for n := range t.Rounds {
		for i := range messagesEach {
			t.writer.Send(fmt.Sprintf("message %d of day %d: 还没回来吗？", i+1, n+1))
		}
		if err := t.drain(ctx); err != nil {
			return err
		}
		if err := t.clock.set(withSession * time.Duration(n+1) / time.Duration(t.Rounds)); err != nil {
			return err
		}
		if n == t.Rounds/2 {
			t.server.Kill()
			if err := t.restart(ctx); err != nil {
				return err
			}
		}
	}
	for _, a := range t.session {
		a.start(ctx)
		if err := t.caughtUp(ctx, "after 29 days", drainTimeout, a.Subscriber); err != nil {
			return err
		}
	}
	t.server.Kill()
	if err := t.clock.set(withoutOne); err != nil {
		return err
	}
	if err := t.restart(ctx); err != nil {
		return err
	}
	t.tracker.start(ctx)
	if err := t.caughtUp(ctx, "after 31 days, without a session", drainTimeout, t.tracker.Subscriber); err != nil {
		return err
	}
	if t.tracker.Present() {
		t.result.problem("a session of an hour was there after a month")
	}
	t.cable.Heal()
	return t.caughtUp(ctx, "after 31 days, TypeScript", drainTimeout, t.page)
}

// caughtUp measures how long it takes until a device shows all there is.
func (t *travellers) caughtUp(ctx context.Context, when string, limit time.Duration, d interface {
	Shown(conversation string) int
	Err() error
},
) error {
	began := time.Now()
	head, err := t.rest.Head(ctx, t.writer.Session, t.writer.Conversation)
	if err != nil {
		return err
	}
	had := d.Shown(t.writer.Conversation)
	err = await(ctx, limit, func() string {
		if n := d.Shown(t.writer.Conversation); n < head-int(t.skipped(d)) {
			return fmt.Sprintf("%d of %d entries are shown %s: %v", n, head, when, d.Err())
		}
		return ""
	})
	t.result.took("synced "+when+" max", time.Since(began), syncedLimit)
	t.result.measure("entries missed "+when, float64(head-had), "", 0)
	return err
}

// skipped is how many entries a device is not owed, because they came before it did.
func (t *travellers) skipped(d any) int64 {
	for _, a := range t.session {
		if a.Subscriber == d {
			return a.owed.Seq
		}
	}
	if d == any(t.page) {
		return latecomer{t.page, t.writer.Conversation}.after()
	}
	return 0
}
