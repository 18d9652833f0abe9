package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// What goes on during the long hours.
const (
	hourRound   = 10 * time.Second
	wordEvery   = 40 * time.Millisecond // one message of each writer
	cutEvery    = 10 * time.Second      // about
	visitEvery  = time.Second           // a new visitor, who says a few things and is gone
	visitWords  = 5
	comers      = 10  // agents' devices that come and go
	sitters     = 200 // devices that only are there
	stuckFor    = time.Minute
	sampleEvery = 2 * time.Second
)

// longHours lets a server work for hours: writers who never stop, visitors who
// come once, devices that come and go, cables that are cut, readers that are
// stuck. It is killed after a twelfth of the time, and stopped before the last
// sixth. In between its memory, goroutines and file descriptors stay level.
func longHours(ctx context.Context, l *Lab) error {
	defer debug.SetGCPercent(debug.SetGCPercent(25)) // journals of hours take gigabytes, and so would the room to waste
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		h, err := newHours(ctx, w)
		if err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		doing, stop := context.WithCancel(ctx)
		var going sync.WaitGroup
		for _, act := range []func(context.Context){h.talk, h.cut, h.visits, h.watch} {
			going.Go(func() { act(doing) })
		}
		for _, d := range h.comers {
			going.Go(func() { h.comeAndGo(doing, d) })
		}
		for way := range waysToStick {
			going.Go(func() { h.stickAgain(doing, way) })
		}
		err = h.pass(ctx)
		stop()
		going.Wait()
		h.leave(ctx)
		h.result.level(h.samples)
		return err
	})
}

// hours is a run of longHours.
type hours struct {
	*world
	agent  *device.Session
	comers []*device.Subscriber
	guests []*device.Publisher // appended to by visits
	served int                 // how many of them the agent is done with
	began  time.Time

	mu      sync.Mutex
	random  *rand.Rand // of those who act by themselves
	samples []sample
	life    int // how often the server has been ended
}

func newHours(ctx context.Context, w *world) (*hours, error) {
	h := &hours{world: w, random: rand.New(rand.NewPCG(w.Seed, 1))}
	for n := range comers {
		d, err := w.comer(ctx, bothReaders[n%len(bothReaders)])
		if err != nil {
			return nil, err
		}
		h.comers = append(h.comers, d)
	}
	if err := w.crew(ctx, bothReaders[:], everyKind[:], 50); err != nil {
		return nil, err
	}
	h.agent = w.subscribers[0].Session
	for range min(sitters, 4*w.Rounds) {
		if err := w.sit(ctx); err != nil {
			return nil, err
		}
	}
	h.began = time.Now()
	return h, nil
}

// sit connects the device of a visitor who does nothing, past the cable.
func (w *world) sit(ctx context.Context) error {
	s, err := w.rest.Visitor(ctx, server.SiteKey, "sitter")
	if err != nil {
		return err
	}
	d := device.NewSubscriberOf(device.Raw5, device.Endpoint{REST: w.rest, MQTT: w.server.MQTT()}, s, 100)
	w.devices.Go(func() { d.Run(ctx) })
	return nil
}

// pass ends the server twice, and returns when the time is up.
func (h *hours) pass(ctx context.Context) error {
	whole := time.Duration(h.Rounds) * hourRound
	for _, end := range []struct {
		after time.Duration
		how   func()
	}{
		{whole / 12, h.server.Kill},
		{whole / 6 * 5, func() { h.stop(ctx) }},
	} {
		if err := sleep(ctx, time.Until(h.began.Add(end.after))); err != nil {
			return err
		}
		h.mu.Lock()
		h.life++
		h.mu.Unlock()
		end.how()
		if err := h.restart(ctx); err != nil {
			return err
		}
	}
	return sleep(ctx, time.Until(h.began.Add(whole)))
}

// below is a random duration below limit.
func (h *hours) below(limit time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Duration(h.random.Int64N(int64(limit)))
}

// talk has the writers say something by turns.
func (h *hours) talk(ctx context.Context) {
	for n := 0; sleep(ctx, wordEvery/time.Duration(len(h.publishers))) == nil; n++ {
		h.publishers[n%len(h.publishers)].Send(fmt.Sprintf("message %d: 你好, is my order on its way?", n))
	}
}

// cut harms the network now and then.
func (h *hours) cut(ctx context.Context) {
	for sleep(ctx, cutEvery/2+h.below(cutEvery)) == nil {
		switch h.below(4) {
		case 0:
			h.cable.Cut()
		case 1:
			h.cable.CutAfterPublish()
		case 2:
			h.cable.CutAfter(int64(h.below(20_000)))
		default:
			h.cable.Freeze()
			_ = sleep(ctx, h.below(time.Second)) // heals in any case
			h.cable.Heal()
		}
	}
}

// visits has a new visitor open a conversation, one after the other. The agent
// takes it over and closes it.
func (h *hours) visits(ctx context.Context) {
	for sleep(ctx, visitEvery) == nil {
		s, err := h.rest.Visitor(ctx, server.SiteKey, "guest")
		if err != nil {
			continue // the server is being ended
		}
		p := device.NewPublisherOf(device.Raw5, h.endpoint(), s, parley.NewID(parley.PrefixConversation), visitWords)
		h.guests = append(h.guests, p)
		for _, d := range h.subscribers {
			d.Follow(p.Conversation, 0)
		}
		h.household.joins(p.Conversation)
		for n := range visitWords {
			p.Send(fmt.Sprintf("question %d", n+1))
		}
		if !h.serveGuest(ctx, p) {
			return
		}
		h.served++
	}
}

// serveGuest runs a guest's device until all is said and the conversation is
// closed, or as long as we are here, which it returns false for.
func (h *hours) serveGuest(ctx context.Context, p *device.Publisher) bool {
	ctx, end := context.WithCancel(ctx)
	var device sync.WaitGroup
	device.Go(func() { p.Run(ctx) })
	defer device.Wait()
	defer end()
	for ctx.Err() == nil {
		if p.Pending() == 0 && h.rest.Claim(ctx, h.agent, p.Conversation) == nil && h.rest.CloseConversation(ctx, h.agent, p.Conversation) == nil {
			return true
		}
		_ = sleep(ctx, 10*poll)
	}
	return false
}

// comer makes one more device of the agent, which subscribes and leaves again.
func (w *world) comer(ctx context.Context, kind device.Kind) (*device.Subscriber, error) {
	s, err := w.rest.Agent(ctx, server.Site, server.AgentEmail, server.Password)
	if err != nil {
		return nil, err
	}
	d := device.NewSubscriberOf(kind, w.endpoint(), s, 100)
	w.subscribers = append(w.subscribers, d)
	w.hear(d)
	there, leave := context.WithCancel(ctx)
	var visit sync.WaitGroup
	visit.Go(func() { d.Run(there) })
	defer visit.Wait()
	defer leave()
	select {
	case <-d.Subscribed():
		return d, nil
	case <-time.After(setupTimeout):
		return nil, fmt.Errorf("a device is not subscribed: %w", d.Err())
	}
}

func (h *hours) comeAndGo(ctx context.Context, d *device.Subscriber) {
	for ctx.Err() == nil {
		there, leave := context.WithTimeout(ctx, time.Second+h.below(5*time.Second))
		d.Run(there)
		leave()
		_ = sleep(ctx, h.below(5*time.Second))
	}
}

// stickAgain has a reader that is stuck in that way, a new one every minute.
func (h *hours) stickAgain(ctx context.Context, way int) {
	for ctx.Err() == nil {
		s, err := h.stick(ctx, h.publishers[0], way)
		if err != nil {
			_ = sleep(ctx, time.Second)
			continue
		}
		stuck, end := context.WithTimeout(ctx, stuckFor)
		s.behaveBadly(stuck)
		end()
		_ = sleep(ctx, time.Second)
	}
}

// leave lets everybody finish, and gives the guests to the checker. The last one has to
// be served: what nobody has claimed the agent's devices do not show.
func (h *hours) leave(ctx context.Context) {
	for _, p := range h.guests[h.served:] {
		serving, end := context.WithTimeout(ctx, setupTimeout)
		h.serveGuest(serving, p)
		end()
	}
	for _, d := range h.comers {
		h.devices.Go(func() { d.Run(ctx) })
	}
	for _, p := range h.guests {
		h.writers = append(h.writers, p)
		h.streams = append(h.streams, stream{p.Conversation, p.Session})
		if p.Pending() > 0 {
			h.devices.Go(func() { p.Run(ctx) })
		}
	}
}
