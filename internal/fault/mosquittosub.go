package fault

import (
	"context"
	"fmt"

	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// mosquittoSub lets mosquitto_sub -c -q 1 be away, in both versions, while
// messages come and the server is killed, and come back for what it missed.
func mosquittoSub(ctx context.Context, l *Lab) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		var all []*away
		for _, kind := range []device.Kind{device.Mosquitto311, device.Mosquitto5} {
			a, err := w.mosquitto(ctx, kind)
			if err != nil {
				return err
			}
			all = append(all, a)
		}
		for n := range w.Rounds {
			for _, a := range all {
				if n%2 == 0 {
					a.stop() // in the other rounds it has to notice by itself
				}
			}
			if err := w.load(ctx, 200); err != nil {
				return err
			}
			w.server.Kill()
			if err := w.restart(ctx); err != nil {
				return err
			}
			for _, a := range all {
				if n%2 == 0 {
					a.start(ctx)
				}
			}
		}
		return nil
	})
}

// sometimes is a device that comes and goes.
type sometimes struct {
	*device.Subscriber
	world *world
	end   context.CancelFunc
	ended chan struct{}
}

func (s *sometimes) start(ctx context.Context) {
	ctx, s.end = context.WithCancel(ctx)
	s.ended = make(chan struct{})
	s.world.devices.Go(func() {
		defer close(s.ended)
		s.Subscriber.Run(ctx)
	})
}

// stop makes it end its connection, mosquitto_sub with a good-bye, and waits for what
// that prints.
func (s *sometimes) stop() {
	s.end()
	<-s.ended
}

// away is a device of mosquitto_sub that comes and goes.
type away struct {
	sometimes
	owed checker.Record
}

// mosquitto starts a mosquitto_sub, which does not tell when it has subscribed,
// beside a visitor who writes.
func (w *world) mosquitto(ctx context.Context, kind device.Kind) (*away, error) {
	p, err := w.visitor(ctx, device.Raw5, w.endpoint(), 50)
	if err != nil {
		return nil, err
	}
	return w.beside(ctx, kind, p)
}

// beside starts another device of the visitor who writes with p. It is owed what comes
// behind the first entry that it shows.
func (w *world) beside(ctx context.Context, kind device.Kind, p *device.Publisher) (*away, error) {
	session, err := w.rest.SameVisitor(ctx, server.SiteKey, p.Session)
	if err != nil {
		return nil, err
	}
	a := &away{sometimes: sometimes{Subscriber: device.NewSubscriberOf(kind, w.endpoint(), session, 0), world: w}}
	a.start(ctx)
	err = await(ctx, setupTimeout, func() string {
		if a.Subscriber.Shown(p.Conversation) > 0 {
			return ""
		}
		if p.Pending() == 0 {
			p.Send("is anybody there?")
		}
		return fmt.Sprintf("a device shows nothing: %v", a.Subscriber.Err())
	})
	if err != nil {
		a.stop()
		return nil, err
	}
	a.owed = checker.Record{
		Device: session.ClientID(), User: session.User, Event: checker.Follows,
		Conversation: p.Conversation, Seq: a.Subscriber.Records()[0].Seq - 1,
	}
	w.readers = append(w.readers, a)
	return a, nil
}

// Owed is what comes behind what it had shown at first.
func (a *away) Owed() []checker.Record { return []checker.Record{a.owed} }
